"""What goes into a model and what comes out, in the Open Inference Protocol's words."""

from typing import Literal

from edgewright_manifests.documents import Document

DataType = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
    "FP16", "FP32", "FP64", "BYTES",
]  # fmt: skip  # the protocol's own table, kept as a table

DYNAMIC = -1
"""A dimension whose size the caller chooses; by convention the batch when it is the first."""


class TensorSpec(Document, frozen=True):
    """One input or output: its name, element type and shape (`-1` where the caller chooses)."""

    name: str
    datatype: DataType
    shape: tuple[int, ...]

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this concrete shape fits."""
        if shape == self.shape and DYNAMIC not in shape:
            return True
        return len(shape) == len(self.shape) and all(
            want in (DYNAMIC, have) for want, have in zip(self.shape, shape, strict=True)
        )


class ModelSignature(Document, frozen=True):
    """Inputs and outputs in order. Every variant of one bundle has the same signature."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
