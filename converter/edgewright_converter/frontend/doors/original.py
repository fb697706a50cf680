"""What every framework's door gives: the original to compare with, and ways to make ONNX of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgewright_converter.errors import ModelFileError
from edgewright_converter.samples import Tensor, Tensors

SAME_SNR_DB = 90.0
"""What frameworks' kernels differ by in float32 stays above 100 dB; a wrong operator does not
hide above 90."""


@dataclass(frozen=True, slots=True)
class DoorInput:
    """One input as the framework declares it; None where it declares nothing."""

    name: str
    dtype: np.dtype[Any] | None = None  # Any: the element type is data
    item: tuple[int | None, ...] | None = None
    """The shape without the batch axis; None is a size that may vary."""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to an ONNX file; `write` may raise whatever the exporter raises."""

    told: str
    write: Callable[[Tensors, Path], None]
    """Writes the model at the path, from a batch of example inputs."""
    dynamic_batch: bool
    same_snr_db: float = SAME_SNR_DB
    """What its answers must reach against the original's."""


class Original(Protocol):
    """A model in its own framework."""

    def inputs(self, given: Sequence[str]) -> tuple[DoorInput, ...]:
        """What it takes; `given` are the names of the samples' arrays."""

    def run(self, batch: Tensors) -> Tensors:
        """Its own answer, by output name."""

    def attempts(self) -> Sequence[Attempt]:
        """Ways to ONNX, the best first."""


def inputs_of(parameters: Sequence[Parameter], given: Sequence[str]) -> tuple[DoorInput, ...]:
    """A Python function's inputs; for `*args` input_0, input_1, ..., as many as there are names."""
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return tuple(DoorInput(f"input_{index}") for index in range(max(len(given), 1)))
    return tuple(
        DoorInput(p.name, optional=p.default is not p.empty)
        for p in parameters
        if p.kind is not p.VAR_KEYWORD
    )


def name_outputs(model: Path, result: Any) -> dict[str, Any]:  # Any: a framework's own arrays
    """The arrays of a result by name: its keys or fields, else `output_0`, `output_1`, ...

    None in it is dropped. Raises ModelFileError for a nested result.
    """
    if isinstance(result, Mapping):
        named = {str(name): value for name, value in result.items()}
    elif isinstance(result, tuple) and hasattr(result, "_fields"):
        named = dict(zip(result._fields, result, strict=True))
    elif isinstance(result, tuple | list):
        named = {f"output_{index}": value for index, value in enumerate(result)}
    else:
        named = {"output_0": result}
    named = {name: value for name, value in named.items() if value is not None}
    if not named or any(not hasattr(value, "dtype") for value in named.values()):
        raise ModelFileError(
            model,
            "returns something else than arrays",
            "return an array, a tuple or a dict of arrays",
        )
    return named


def rows(examples: Tensors, count: int) -> dict[str, Tensor]:
    """The first `count` examples as one batch, repeated where there are fewer."""
    return {
        name: np.ascontiguousarray(np.resize(value, (count, *value.shape[1:])))
        for name, value in examples.items()
    }
