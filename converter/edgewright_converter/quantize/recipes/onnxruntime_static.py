"""Static INT8 and mixed precision for the `onnx` target by ONNX Runtime's quantizer."""

from dataclasses import dataclass
from pathlib import Path

from edgewright_converter.candidate import RecipeSource
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_names import strip_names
from edgewright_converter.quantize.onnx_qdq import Quantized, quantize_qdq
from edgewright_converter.quantize.onnx_weights import compress_weights
from edgewright_converter.quantize.recipes.library_recipe import Files
from edgewright_converter.quantize.recipes.qdq_recipe import QdqRecipe

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Relu", "Clip")
"""Relu and Clip so that a convolution's range is the one after them."""


@dataclass(frozen=True, slots=True)
class OnnxruntimeStatic(QdqRecipe):
    """Static QDQ quantization, u8 activations and s8 weights.

    That pair, with Q/DQ also on outputs, is the only one that is fast on ONNX Runtime's CPU:
    2.0x on EfficientNet-Lite0, where s8s8 gave 1.2x and symmetric s8 0.34x. Weights of operators
    that it does not quantize (LSTM, Gather) are stored in INT8 all the same.
    """

    target = "onnx"

    per_channel: bool = True
    weighted_only: bool = False
    """Quantize operators with weights and leave the others in float. Magika, all operators
    quantized: 6 % right; these alone: as float."""

    @property
    def name(self) -> str:
        """For example `onnxruntime static u8s8 per-channel minmax, worst 4 layers float`."""
        grain = "per-channel" if self.per_channel else "per-tensor"
        scope = ", operators with weights" if self.weighted_only else ""
        return f"onnxruntime static u8s8 {grain} {self.ranges}{scope}{self.layers_words()}"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """The opset-17 form of the source in QDQ form."""
        made, _ = compress_weights(
            self.quantized(source, feed, folder).data, kept_float=self.kept_float
        )
        return (("model.onnx", strip_names(made)),)

    def quantized(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> Quantized:
        """u8s8; what comes behind the last weights stays float."""
        assert feed is not None
        return quantize_qdq(
            folder,
            self.quantizable(source),
            feed,
            ranges=self.ranges,
            per_channel=self.per_channel,
            float_tail=True,
            op_types_to_quantize=list(_WEIGHTED) if self.weighted_only else None,
            nodes_to_exclude=list(self.kept_float),
        )
