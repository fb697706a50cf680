"""INT8 for the `tensorrt` target: QDQ as TensorRT wants it, by ONNX Runtime's quantizer."""

from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, numpy_helper

from edgewright_converter.candidate import RecipeSource
from edgewright_converter.emit.tensorrt import with_build_recipe
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_qdq import Quantized, quantize_qdq
from edgewright_converter.quantize.recipes.library_recipe import Files
from edgewright_converter.quantize.recipes.qdq_recipe import QdqRecipe

_OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Add")
"""What TensorRT has INT8 kernels for, and the sums of residual blocks that it fuses with them."""


@dataclass(frozen=True, slots=True)
class TensorrtQdq(QdqRecipe):
    """Symmetric s8 activations and per-channel s8 weights; zero points 0, biases in float.

    Q/DQ stand before inputs only: TensorRT moves them itself, and output pairs hinder fusions.
    """

    target = "tensorrt"

    @property
    def name(self) -> str:
        """For example `tensorrt explicit qdq s8s8 symmetric per-channel minmax`."""
        return (
            f"tensorrt explicit qdq s8s8 symmetric per-channel {self.ranges}{self.layers_words()}"
        )

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """The opset-17 form of the source in explicit QDQ form."""
        data = self.quantized(source, feed, folder).data
        problem = explicit_qdq_problem(data)
        if problem:
            raise RecipeFailed(self.name, problem)
        return with_build_recipe(data, int8=True)

    def quantized(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> Quantized:
        """s8s8 without zero points."""
        assert feed is not None
        from onnxruntime.quantization import QuantType

        return quantize_qdq(
            folder,
            self.quantizable(source),
            feed,
            ranges=self.ranges,
            per_channel=True,
            activation_type=QuantType.QInt8,
            op_types_to_quantize=list(_OPERATORS),
            nodes_to_exclude=list(self.kept_float),
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(_OPERATORS),
                "DedicatedQDQPair": True,
                "QDQDisableWeightAdjustForInt32Bias": True,
            },
        )


def explicit_qdq_problem(data: bytes) -> str:
    """What in a quantized model TensorRT would refuse; "" where there is nothing.

    It takes only zero points of 0, and quantizes biases itself.
    """
    graph = onnx.load_model_from_string(data).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    pairs = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    if not pairs:
        return "it quantizes nothing: the model has no " + ", ".join(_OPERATORS)
    for node in pairs:
        first = constants.get(node.input[0])
        if first is not None and first.data_type == TensorProto.INT32:
            return f"{node.name} dequantizes an int32 bias"
        zero_point = constants.get(node.input[2]) if len(node.input) > 2 else None
        if zero_point is not None and numpy_helper.to_array(zero_point).any():
            return f"{node.name} has a zero point that is not 0"
        if zero_point is not None and zero_point.data_type != TensorProto.INT8:
            return f"{node.name} is not of int8"
    return ""
