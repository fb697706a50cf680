"""Keras files and SavedModels to ONNX, by tf2onnx."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from edgewright_converter.errors import ModelFileError
from edgewright_converter.frontend.doors.graph_operators import check_operators
from edgewright_converter.frontend.doors.original import Attempt, DoorInput
from edgewright_converter.samples import Tensor, Tensors

_OPSET = 17
_SIGNATURE = "serving_default"
_TAG = "serve"


class KerasOriginal:
    """A model in a .keras or .h5 file; layers that hold pickled Python are refused."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self._net = _load_keras(model)
        specs = getattr(self._net, "inputs", None)
        if not specs:
            raise ModelFileError(
                model,
                "does not say what it takes",
                "build it before saving (keras.Input, or one call with data)",
            )
        self._specs = specs
        self._names = _plain_names([spec.name for spec in specs], "input")

    def inputs(self, given: Sequence[str]) -> tuple[DoorInput, ...]:
        """The input layers' names, types and sizes."""
        return tuple(
            DoorInput(name, np.dtype(spec.dtype), tuple(spec.shape[1:]))
            for name, spec in zip(self._names, self._specs, strict=True)
        )

    def run(self, batch: Tensors) -> dict[str, Tensor]:
        """The model's own answer."""
        answer = self._answer(*(tf.constant(batch[name]) for name in self._names))
        return {name: value.numpy() for name, value in answer.items()}

    def attempts(self) -> tuple[Attempt, ...]:
        """With any batch, then with a batch of one."""
        return (
            Attempt("tf2onnx", lambda _, path: self._write(None, path), True),
            Attempt("tf2onnx with a batch of one", lambda _, path: self._write(1, path), False),
        )

    def _answer(self, *tensors: Any) -> dict[str, Any]:  # Any: TensorFlow's tensors
        answer = self._net(list(tensors) if len(tensors) > 1 else tensors[0], training=False)
        if isinstance(answer, dict):
            return dict(answer)
        outputs = answer if isinstance(answer, list | tuple) else [answer]
        return dict(zip(_plain_names(self._net.output_names, "output"), outputs, strict=True))

    def _write(self, batch: int | None, path: Path) -> None:
        signature = [
            tf.TensorSpec([batch, *spec.shape[1:]], spec.dtype, name=name)
            for name, spec in zip(self._names, self._specs, strict=True)
        ]
        model, _ = tf2onnx.convert.from_function(
            tf.function(self._answer), input_signature=signature, opset=_OPSET
        )
        path.write_bytes(model.SerializeToString(deterministic=True))


class SavedModelOriginal:
    """A SavedModel's signature `serving_default`, read as a graph: no Python object is rebuilt."""

    def __init__(self, model: Path) -> None:
        self._model = model
        check_operators(model, _SIGNATURE)
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            try:
                meta = tf.compat.v1.saved_model.load(self._session, [_TAG], str(model))
            except (RuntimeError, OSError, ValueError, tf.errors.OpError) as error:
                raise ModelFileError(
                    model, f"TensorFlow cannot load it: {_first_line(error)}", "save it again"
                ) from error
        if _SIGNATURE not in meta.signature_def:
            known = sorted(set(meta.signature_def) - {"__saved_model_init_op"})
            raise ModelFileError(
                model,
                f"has no signature {_SIGNATURE!r}, only {known}",
                "save it with that signature",
            )
        signature = meta.signature_def[_SIGNATURE]
        self._inputs = dict(sorted(signature.inputs.items()))
        self._outputs = dict(sorted(signature.outputs.items()))

    def inputs(self, given: Sequence[str]) -> tuple[DoorInput, ...]:
        """Those of the signature."""
        return tuple(
            DoorInput(
                name,
                np.dtype(tf.dtypes.as_dtype(info.dtype).as_numpy_dtype),
                tuple(size.size if size.size >= 0 else None for size in info.tensor_shape.dim[1:]),
            )
            for name, info in self._inputs.items()
        )

    def run(self, batch: Tensors) -> dict[str, Tensor]:
        """The graph's own answer."""
        feed = {info.name: batch[name] for name, info in self._inputs.items()}
        wanted = {name: info.name for name, info in self._outputs.items()}
        answer: dict[str, Tensor] = self._session.run(wanted, feed)
        return answer

    def attempts(self) -> tuple[Attempt, ...]:
        """There is one: the signature says whether the batch is fixed."""
        first = [i.tensor_shape.dim[0].size for i in self._inputs.values() if i.tensor_shape.dim]
        return (Attempt("tf2onnx", self._write, all(size < 0 for size in first)),)

    def _write(self, examples: Tensors, path: Path) -> None:
        names = [info.name for info in self._inputs.values()]
        outputs = [info.name for info in self._outputs.values()]
        with self._session.graph.as_default():
            frozen = tf2onnx.tf_loader.freeze_session(
                self._session, input_names=names, output_names=outputs
            )
        # Inlines the functions; from_graph_def alone loses those of Keras 3's exports.
        with tf.Graph().as_default():
            frozen = tf2onnx.tf_loader.tf_optimize(names, outputs, frozen)
        model, _ = tf2onnx.convert.from_graph_def(
            frozen, input_names=names, output_names=outputs, opset=_OPSET
        )
        renamed = dict(zip(names, self._inputs, strict=True))
        renamed |= dict(zip(outputs, self._outputs, strict=True))
        path.write_bytes(_renamed(model, renamed).SerializeToString(deterministic=True))


def _load_keras(model: Path) -> Any:  # Any: keras has no types
    try:
        return keras.models.load_model(str(model), compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise ModelFileError(
            model,
            f"Keras cannot load it: {_first_line(error)}",
            "save it with model.save, without Lambda layers and custom classes",
        ) from error


def _plain_names(names: Sequence[str], stem: str) -> tuple[str, ...]:
    """Keras's names without TensorFlow's `:0`; `stem_0`, ... where two would be equal."""
    plain = tuple(name.partition(":")[0] for name in names)
    if len(set(plain)) == len(plain):
        return plain
    return tuple(f"{stem}_{index}" for index in range(len(plain)))


def _renamed(model: onnx.ModelProto, names: dict[str, str]) -> onnx.ModelProto:
    """The values with other names; TensorFlow's own names are no use to anyone."""
    graph = model.graph
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    return model


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
