"""Smaller weights for the `onnx` target: INT8, INT4 and FP16, and INT8 with ranges at run time."""

from dataclasses import dataclass
from pathlib import Path

import onnx
from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import RecipeSource
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_int4 import BLOCK, to_int4
from edgewright_converter.quantize.onnx_names import name_nodes, strip_names
from edgewright_converter.quantize.onnx_qdq import library_errors
from edgewright_converter.quantize.onnx_weights import compress_weights
from edgewright_converter.quantize.probes import OnnxProbe, Probe
from edgewright_converter.quantize.recipes.library_recipe import Files, LayeredRecipe, LibraryRecipe

_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class OnnxWeights(LayeredRecipe):
    """Weights in INT8 per output channel, arithmetic in float; ONNX Runtime multiplies them out."""

    target = "onnx"
    reads_samples = False

    @property
    def name(self) -> str:
        """For example `int8 weights per-channel, worst 4 layers float`."""
        return f"int8 weights per-channel{self.layers_words()}"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Store the weights as integers."""
        return ((_FILE, strip_names(self._compressed(source))),)

    def probes(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> tuple[Probe, Probe]:
        """The float model and the quantized one."""
        plain = OnnxProbe(name_nodes(self.quantizable(source)))
        return plain, OnnxProbe(self._compressed(source))

    def library_errors(self) -> tuple[type[Exception], ...]:
        """ONNX Runtime's own, too."""
        return library_errors()

    def _compressed(self, source: RecipeSource) -> bytes:
        made, count = compress_weights(
            name_nodes(self.quantizable(source)), kept_float=self.kept_float
        )
        if count == 0:
            raise RecipeFailed(self.name, "the model has no large weights")
        return made


@dataclass(frozen=True, slots=True)
class OnnxruntimeDynamic(LibraryRecipe):
    """INT8 weights and arithmetic in MatMul, Gemm and LSTM, with ranges found while it runs.

    Not in convolutions: ONNX Runtime computes those 5 to 11 times as slowly as float.
    """

    target = "onnx"
    reads_samples = False

    @property
    def name(self) -> str:
        """The library's function."""
        return "onnxruntime dynamic MatMul, Gemm, LSTM, int8 weights elsewhere"

    @property
    def precision(self) -> Precision:
        """Integer weights and activations."""
        return "int8"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """quantize_dynamic on the opset-17 form."""
        from onnxruntime.quantization import QuantType, quantize_dynamic

        before, after = folder / "before.onnx", folder / "after.onnx"
        named = name_nodes(self.quantizable(source))
        before.write_bytes(named)
        nodes = onnx.load_model_from_string(named).graph.node
        if not any(node.op_type in ("MatMul", "Gemm", "LSTM") for node in nodes):
            raise RecipeFailed(self.name, "the model has no MatMul, Gemm or LSTM")
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=["MatMul", "Gemm", "LSTM"],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        made, _ = compress_weights(after.read_bytes())
        return ((_FILE, strip_names(made)),)

    def library_errors(self) -> tuple[type[Exception], ...]:
        """ONNX Runtime's own, too."""
        return library_errors()


@dataclass(frozen=True, slots=True)
class OnnxInt4(LibraryRecipe):
    """MatMul weights in INT4, a scale per block of 32 (MatMulNBits); other weights in INT8."""

    target = "onnx"
    reads_samples = False

    @property
    def name(self) -> str:
        """ONNX Runtime's operator."""
        return f"MatMulNBits int4 block {BLOCK}, int8 weights elsewhere"

    @property
    def precision(self) -> Precision:
        """Integer weights of two widths, arithmetic in float."""
        return "mixed"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Replace every MatMul by a constant with MatMulNBits."""
        small, count = to_int4(name_nodes(self.quantizable(source)))
        if count == 0:
            raise RecipeFailed(self.name, "the model has no MatMul by a large constant")
        made, _ = compress_weights(small)
        return ((_FILE, strip_names(made)),)

    def library_errors(self) -> tuple[type[Exception], ...]:
        """ONNX Runtime's own, too."""
        return library_errors()


@dataclass(frozen=True, slots=True)
class OnnxruntimeFp16(LibraryRecipe):
    """Half-precision weights and arithmetic, FP32 inputs and outputs."""

    target = "onnx"
    reads_samples = False

    @property
    def name(self) -> str:
        """Named after the tool in onnxruntime.transformers."""
        return "onnxruntime float16"

    @property
    def precision(self) -> Precision:
        """Half precision."""
        return "fp16"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Convert the float artifact."""
        from onnxruntime.transformers.float16 import convert_float_to_float16

        model = onnx.load_model_from_string(source.float_artifact.files[0][1])
        half = convert_float_to_float16(model, keep_io_types=True)
        return ((_FILE, half.SerializeToString(deterministic=True)),)
