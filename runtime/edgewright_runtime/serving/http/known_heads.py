"""Heads of binary requests that come again and again: read once, then known by their bytes.

A client that asks for the same thing sends the same JSON before other tensors. Reading it again
costs a small model's server as much as the inference.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from edgewright_manifests.signature import DataType, ModelSignature

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.serving.inference.binary_tensors import read_binary_tensor
from edgewright_runtime.serving.inference.outputs import WantedOutput
from edgewright_runtime.serving.request_options import RequestOptions

_LONGEST = 2048
_KEPT = 256


class BinaryInput(NamedTuple):
    """An input and where its bytes lie behind the head."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]
    start: int
    end: int


class KnownHead:
    """What a head of these bytes means for the model of this signature."""

    __slots__ = ("answers", "binary_bytes", "inputs", "options", "outputs", "signature")

    def __init__(
        self,
        signature: ModelSignature,
        inputs: Sequence[BinaryInput],
        outputs: Sequence[WantedOutput],
        options: RequestOptions,
    ) -> None:
        self.signature = signature
        self.inputs = inputs
        self.outputs = outputs
        self.options = options
        self.binary_bytes = inputs[-1].end
        self.answers: dict[object, tuple[bytes, bytes]] = {}
        """By model, version and shapes: the answer's own head, and the header with its length."""

    def read(self, body: memoryview, start: int) -> dict[str, RawTensor]:
        """The tensors that lie behind a head of `start` bytes. Raises InvalidInput."""
        return {
            name: read_binary_tensor(name, datatype, shape, body[start + first : start + end])
            for name, datatype, shape, first, end in self.inputs
        }

    def keep_answer(self, key: object, head: bytes, header: bytes) -> None:
        """Remember the head of an answer with outputs of these sizes."""
        if len(self.answers) >= _KEPT:
            self.answers.clear()
        self.answers[key] = head, header


class KnownHeads:
    """The heads that one server knows. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._heads: dict[bytes, KnownHead] = {}

    def find(self, body: bytes, size: int, signature: ModelSignature) -> KnownHead | None:
        """The head that `body` begins with, for this model, when as much follows as it says."""
        known = self._heads.get(body[:size]) if size <= _LONGEST else None
        if known is None or known.signature is not signature:
            return None
        return known if known.binary_bytes == len(body) - size else None

    def keep(
        self,
        head: bytes,
        signature: ModelSignature,
        inputs: Mapping[str, tuple[RawTensor, int]],
        outputs: Sequence[WantedOutput],
        options: RequestOptions,
    ) -> KnownHead | None:
        """Remember a head whose `inputs` (tensor, bytes behind the head) all are binary.

        None where it is not worth it: places in shared memory must be looked at every time.
        """
        if len(head) > _LONGEST or any(output.place is not None for output in outputs):
            return None
        if len(self._heads) >= _KEPT:
            self._heads.clear()
        parts: list[BinaryInput] = []
        position = 0
        for name, (tensor, size) in inputs.items():
            parts.append(
                BinaryInput(name, tensor.datatype, tensor.shape, position, position + size)
            )
            position += size
        known = self._heads[head] = KnownHead(signature, parts, outputs, options)
        return known
