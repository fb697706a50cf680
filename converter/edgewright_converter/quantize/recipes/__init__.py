"""The recipes per target and precision, in the fixed order that breaks ties.

A new recipe is a class with `name`, `precision`, `needs_calibration` and `build`, and one
line here.
"""

from collections.abc import Mapping

from edgewright_manifests.variant import Precision, Target

from edgewright_converter.candidate import Recipe
from edgewright_converter.quantize.recipes.ai_edge import AiEdgeFp16, AiEdgeStatic, AiEdgeWeights
from edgewright_converter.quantize.recipes.coreml import CoremlFp16, CoremlInt8Weights
from edgewright_converter.quantize.recipes.nncf_ptq import (
    NncfPostTraining,
    NncfWeights,
    OpenvinoFp16,
)
from edgewright_converter.quantize.recipes.onnxruntime_mixed import OnnxruntimeMixed
from edgewright_converter.quantize.recipes.onnxruntime_static import (
    OnnxruntimeFp16,
    OnnxruntimeStatic,
)
from edgewright_converter.quantize.recipes.tensorrt_qdq import TensorrtQdq

RECIPES: Mapping[Target, tuple[Recipe, ...]] = {
    "onnx": (
        OnnxruntimeStatic("minmax"),
        OnnxruntimeStatic("percentile"),
        OnnxruntimeStatic("entropy"),
        OnnxruntimeStatic("minmax", per_channel=False),
        OnnxruntimeStatic("minmax", weighted_only=True),
        OnnxruntimeMixed(0.1),
        OnnxruntimeMixed(0.3),
        OnnxruntimeFp16(),
    ),
    "openvino": (
        NncfPostTraining("mixed"),
        NncfPostTraining("mixed", exact_bias_correction=True),
        NncfPostTraining("performance"),
        NncfWeights(),
        OpenvinoFp16(),
    ),
    "tflite": (
        AiEdgeStatic("minmax"),
        AiEdgeStatic("moving average"),
        AiEdgeWeights("dynamic"),
        AiEdgeWeights("weight only"),
        AiEdgeFp16(),
    ),
    "tensorrt": (TensorrtQdq("minmax"), TensorrtQdq("percentile")),
    "coreml": (CoremlFp16(), CoremlInt8Weights()),
}


def recipes_for(target: Target, precision: Precision) -> tuple[Recipe, ...]:
    """The recipes of one target that give `precision`, best guess first."""
    return tuple(recipe for recipe in RECIPES[target] if recipe.precision == precision)
