"""The client for asyncio: runs are awaited on the loop itself, all else goes to a thread."""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence

from edgewright_runtime.client.buffers import Tensor
from edgewright_runtime.client.model import Client, Model, Step, Way
from edgewright_runtime.client.slot import Slot
from edgewright_runtime.errors import ServerGone

_LOOK_S = 0.5
"""Between looks whether the server still lives."""


class AsyncClient:
    """`async with AsyncClient(path) as client`: see `Client`."""

    def __init__(
        self, path: str | os.PathLike[str], *, timeout_s: float = 30.0, way: Way | None = None
    ) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._way = way
        self._client: Client | None = None

    async def __aenter__(self) -> "AsyncClient":
        self._client = await asyncio.to_thread(
            lambda: Client(self._path, timeout_s=self._timeout_s, way=self._way)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def way(self) -> Way:
        """See `Client.way`. Raises ServerGone."""
        return self._connected().way

    async def model(self, name: str) -> "AsyncModel":
        """The model of that name. Raises ModelUnknown, ServerGone."""
        return AsyncModel(await asyncio.to_thread(self._connected().model, name))

    def _connected(self) -> Client:
        if self._client is None:
            raise ServerGone("use the client as `async with AsyncClient(path) as client`")
        return self._client


class AsyncModel:
    """See `Model`. Tasks may infer at the same time; each has a slot then."""

    def __init__(self, model: Model) -> None:
        self.model = model

    async def infer(
        self,
        inputs: Mapping[str, Tensor],
        *,
        priority: int = 0,
        sequence: Step | None = None,
    ) -> dict[str, Tensor]:
        """See `Model.infer`."""
        model = self.model
        given = model.given(inputs)
        if not model.can_share or priority or sequence is not None:
            return await asyncio.to_thread(
                lambda: model.infer_inline(given, priority=priority, sequence=sequence)
            )
        try:
            slot = await asyncio.to_thread(model.take, given)
        except ServerGone:
            slot = await asyncio.to_thread(model.take, given)
        try:
            await AsyncSlot(slot).run()
            return model.copies(slot)
        finally:
            model.give(slot)

    async def slot(
        self,
        *,
        batch: int | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        outputs: Mapping[str, Sequence[int]] | None = None,
    ) -> "AsyncSlot":
        """See `Model.slot`."""
        return AsyncSlot(
            await asyncio.to_thread(
                lambda: self.model.slot(batch=batch, shapes=shapes, outputs=outputs)
            )
        )


class AsyncSlot:
    """See `Slot`; one task at a time. `async with` closes it."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot

    async def __aenter__(self) -> "AsyncSlot":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def inputs(self) -> Mapping[str, Tensor]:
        """Write the tensors here."""
        return self.slot.inputs

    @property
    def outputs(self) -> Mapping[str, Tensor]:
        """Read the last run's results here."""
        return self.slot.outputs

    async def run(self) -> None:
        """See `Slot.run`."""
        descriptor = self.slot.answer_descriptor
        if descriptor is None:
            await asyncio.to_thread(self.slot.run)
            return
        self.slot.ring()
        try:
            await self._answered(descriptor)
        except asyncio.CancelledError:
            self.slot.abandon()  # its answer will come, and be nobody's
            raise
        self.slot.settle()

    async def _answered(self, descriptor: int) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + self.slot.timeout_s
        rung = asyncio.Event()
        loop.add_reader(descriptor, rung.set)
        try:
            while not rung.is_set():
                # A server that has gone rings nothing; polling tells, a reader would not.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(rung.wait(), _LOOK_S)
                if not rung.is_set():
                    self.slot.check(late=loop.time() > ends)
        finally:
            loop.remove_reader(descriptor)
        self.slot.take_answer()

    async def close(self) -> None:
        """See `Slot.close`."""
        await asyncio.to_thread(self.slot.close)
