"""JAX: a function of arrays to ONNX, by jax2onnx (primitive by primitive, without TensorFlow)."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax2onnx import to_onnx

from edgewright_converter.frontend.doors.original import (
    Attempt,
    DoorInput,
    inputs_of,
    name_outputs,
    rows,
)
from edgewright_converter.samples import Tensor, Tensors

_OPSET = 21
"""The oldest that jax2onnx writes."""


class JaxOriginal:
    """A function (or a callable object, such as a Flax NNX module) of JAX arrays."""

    def __init__(self, model: Path, function: Callable[..., Any]) -> None:
        self._model = model
        self._function = function
        self._parameters = list(inspect.signature(function).parameters.values())

    def inputs(self, given: Sequence[str]) -> tuple[DoorInput, ...]:
        """The function's parameters; for `*args` input_0, input_1, ..."""
        return inputs_of(self._parameters, given)

    def run(self, batch: Tensors) -> dict[str, Tensor]:
        """The function's own answer."""
        answer = self._answer(tuple(batch), *(jax.numpy.asarray(v) for v in batch.values()))
        return {name: np.asarray(value) for name, value in answer.items()}

    def attempts(self) -> tuple[Attempt, ...]:
        """With any batch, then with a batch of one."""
        return (
            Attempt("jax2onnx", lambda given, path: self._write(given, "batch", path), True),
            Attempt(
                "jax2onnx with a batch of one",
                lambda given, path: self._write(given, 1, path),
                False,
            ),
        )

    def _write(self, examples: Tensors, batch: int | str, path: Path) -> None:
        names = tuple(examples)
        outputs = tuple(self.run(rows(examples, 1)))
        shapes = [
            jax.ShapeDtypeStruct(_shape(value.shape[1:], batch), value.dtype)
            for value in examples.values()
        ]

        def flat(*arrays: Any) -> tuple[Any, ...]:  # Any: JAX arrays, or tracers of them
            return tuple(self._answer(names, *arrays).values())

        model = to_onnx(
            flat, shapes, opset=_OPSET, input_names=list(names), output_names=list(outputs)
        )
        path.write_bytes(model.SerializeToString(deterministic=True))

    def _answer(self, names: tuple[str, ...], *arrays: Any) -> dict[str, Any]:  # Any: as above
        known = {p.name for p in self._parameters if p.kind is not p.POSITIONAL_ONLY}
        if known.issuperset(names):
            return name_outputs(
                self._model, self._function(**dict(zip(names, arrays, strict=True)))
            )
        return name_outputs(self._model, self._function(*arrays))


def _shape(item: tuple[int, ...], batch: int | str) -> tuple[Any, ...]:  # Any: a symbolic size
    if isinstance(batch, int):
        return (batch, *item)
    return tuple(jax.export.symbolic_shape(batch)) + item
