"""Requests that are like one before: only tensors and id differ, so only they are read.

A camera asks for the same model with the same shapes ten times a second. Where all other bytes of
a message are equal to those of one that was read in full, so is all that they say.
"""

from collections import deque
from collections.abc import Sequence

from edgewright_manifests.signature import DataType

from edgewright_runtime.engine.elements import truth_bytes
from edgewright_runtime.engine.raw_tensor import Buffer, RawTensor
from edgewright_runtime.serving.grpc import wire
from edgewright_runtime.serving.grpc.infer import Described, InferRequest

_ID, _RAW = 3, 7
_PER_SIZE = 4
_SIZES = 256
_TRIES = 64
"""Requests of one size that were like none before, after which that size is given up: keeping
them costs more than it saves."""
Range = tuple[int, int]


class Template:
    """One request, with room for other tensors and another id of the same sizes."""

    def __init__(
        self,
        described: Described,
        data: Buffer,
        id_at: Range,
        tensors: Sequence[tuple[str, DataType, tuple[int, ...], Range]],
    ) -> None:
        self.described = described
        self._id_at = id_at
        self._tensors = tensors
        free = sorted(at for at in (id_at, *(entry[3] for entry in tensors)) if at[0] < at[1])
        edges = [0, *(edge for at in free for edge in at), len(data)]
        fixed = [
            (start, end, bytes(data[start:end]))
            for start, end in zip(edges[::2], edges[1::2], strict=True)
            if start < end
        ]
        self._start, self._fixed = fixed[0], fixed[1:]

    def read(self, data: Buffer) -> InferRequest | None:
        """The request in `data`; None when it is not like this one."""
        start, end, expected = self._start
        if data[start:end] != expected:
            return None
        for start, end, expected in self._fixed:
            if data[start:end] != expected:
                return None
        start, end = self._id_at
        identifier = ""
        if start < end:
            try:
                identifier = str(data[start:end], "utf-8")
            except UnicodeDecodeError:
                return None
        inputs = {}
        for name, datatype, shape, (start, end) in self._tensors:
            part = data[start:end]
            if datatype == "BOOL":
                part = truth_bytes(memoryview(part))
            inputs[name] = RawTensor(datatype, shape, part)
        return InferRequest(self.described, identifier, inputs)


class Templates:
    """Those of the requests that came last, by their size."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[deque[Template], list[int]]] = {}

    def read(self, data: Buffer) -> InferRequest | None:
        """The request in `data` if it is like one before."""
        found = self._known.get(len(data))
        if found is not None:
            for template in found[0]:
                request = template.read(data)
                if request is not None:
                    return request
        return None

    def keep(self, request: InferRequest, data: Buffer, raw_count: int) -> None:
        """Read the next ones that are like this one, which was read in full, the short way."""
        inputs = request.inputs
        if not inputs or raw_count != len(inputs):
            return  # not all of its tensors are raw contents
        if any(tensor.elements is not None for tensor in inputs.values()):
            return  # strings are as long as they like
        templates, tries = self._known.setdefault(len(data), (deque(maxlen=_PER_SIZE), [_TRIES]))
        if tries[0] <= 0:
            return
        tries[0] -= 1
        ids, raw = wire.ranges(memoryview(data), _ID), wire.ranges(memoryview(data), _RAW)
        if len(ids) > 1 or len(raw) != len(inputs):
            return
        tensors = [
            (name, tensor.datatype, tensor.shape, at)
            for (name, tensor), at in zip(inputs.items(), raw, strict=True)
        ]
        template = Template(request.described, data, ids[0] if ids else (0, 0), tensors)
        templates.appendleft(template)
        if len(self._known) > _SIZES:
            self._known.clear()
