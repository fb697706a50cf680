"""What a probe tells of a model: its layers, and their outputs for one sample."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from edgewright_converter.samples import Tensor


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator of a float model."""

    name: str
    """Its first output tensor; the three formats keep the name that ONNX has for it."""
    operator: str
    inputs: tuple[str, ...]
    """The tensors that it reads, constants included."""
    nodes: tuple[str, ...]
    """What the format's quantizer calls it, to leave it out."""


class Probe(Protocol):
    """A model opened with all that is inside it."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """In the order of computing."""

    def read(self, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every FP32 activation for one sample, by name; quantized ones as the numbers meant."""
