"""ONNX Runtime's IOBinding straight onto a caller's memory."""

from collections.abc import Mapping
from typing import Any

from edgewright_runtime.engine.tensors import Tensor
from edgewright_runtime.errors import InferenceFailed, one_line


class OnnxBinding:
    """One inference over memory that stays where it is. Calling it costs no copy."""

    def __init__(
        self,
        session: Any,  # Any: ONNX Runtime ships no types
        errors: tuple[type[Exception], ...],
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
    ) -> None:
        binding = session.io_binding()
        for name, array in inputs.items():
            binding.bind_input(
                name, "cpu", 0, array.dtype.type, list(array.shape), array.ctypes.data
            )
        for name, array in outputs.items():
            binding.bind_output(
                name, "cpu", 0, array.dtype.type, list(array.shape), array.ctypes.data
            )
        self._errors = errors
        # The methods beneath the wrappers, which cost a microsecond per call.
        self._held: tuple[Any, ...] | None = (  # Any: as above
            session._sess.run_with_iobinding, binding._iobinding, session, inputs, outputs,
        )  # fmt: skip  # what runs, then what lives as long

    def __call__(self) -> None:
        """Run. Raises InferenceFailed, also after `release`."""
        held = self._held  # here, so that a release from elsewhere takes nothing from this run
        if held is None:
            raise InferenceFailed("the model was unloaded")
        try:
            held[0](held[1], None)
        except self._errors as error:
            raise InferenceFailed(f"onnxruntime: {one_line(error)}") from error

    def release(self) -> None:
        """Let go of model and memory."""
        self._held = None
