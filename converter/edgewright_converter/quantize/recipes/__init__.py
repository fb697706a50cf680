"""The recipes per target and precision, in the fixed order that breaks ties.

A new recipe is a class with `name`, `precision`, `needs_calibration` and `build`, and one
line here.
"""

from collections.abc import Mapping

from edgewright_manifests.variant import Precision, Target

from edgewright_converter.candidate import Recipe
from edgewright_converter.quantize.recipes.ai_edge import AiEdgeFp16, AiEdgeStatic, AiEdgeWeights
from edgewright_converter.quantize.recipes.coreml import CoremlFp16, CoremlInt8Weights
from edgewright_converter.quantize.recipes.library_recipe import LayeredRecipe
from edgewright_converter.quantize.recipes.nncf_ptq import (
    NncfPostTraining,
    NncfWeights,
    OpenvinoFp16,
)
from edgewright_converter.quantize.recipes.onnxruntime_static import OnnxruntimeStatic
from edgewright_converter.quantize.recipes.onnxruntime_weights import (
    OnnxInt4,
    OnnxruntimeDynamic,
    OnnxruntimeFp16,
    OnnxWeights,
)
from edgewright_converter.quantize.recipes.openvino_from_onnx import (
    OpenvinoFromQdq,
    OpenvinoFromWeights,
)
from edgewright_converter.quantize.recipes.tensorrt_qdq import TensorrtQdq

RECIPES: Mapping[Target, tuple[Recipe, ...]] = {
    "onnx": (
        OnnxruntimeStatic("minmax"),
        OnnxruntimeStatic("percentile"),
        OnnxruntimeStatic("entropy"),
        OnnxruntimeStatic("mse"),
        OnnxruntimeStatic("minmax", per_channel=False),
        OnnxruntimeStatic("minmax", weighted_only=True),
        OnnxruntimeDynamic(),
        OnnxWeights(),
        OnnxruntimeFp16(),
    ),
    "openvino": (
        OpenvinoFromQdq("minmax"),
        OpenvinoFromQdq("minmax", symmetric=True),
        NncfPostTraining("performance", exact_bias_correction=True),
        NncfPostTraining("mixed", exact_bias_correction=True),
        NncfPostTraining("performance"),
        NncfPostTraining("mixed"),
        NncfPostTraining("mixed", smooth_quant=True),
        NncfWeights(),
        OpenvinoFromWeights(),
        OpenvinoFp16(),
    ),
    "tflite": (
        AiEdgeStatic("minmax"),
        AiEdgeStatic("mse"),
        AiEdgeStatic("moving average"),
        AiEdgeStatic("minmax", weights="octav"),
        AiEdgeWeights("dynamic"),
        AiEdgeWeights("weight only"),
        AiEdgeStatic("minmax", activation_bits=16),
        AiEdgeFp16(),
    ),
    "tensorrt": (TensorrtQdq("minmax"), TensorrtQdq("percentile")),
    "coreml": (CoremlFp16(), CoremlInt8Weights()),
}

SMALLEST: Mapping[Target, tuple[Recipe, ...]] = {
    "onnx": (OnnxInt4(),),
    "openvino": (NncfWeights("int4_sym"),),
}
"""Tried where a size is asked for: INT4 ruined every convolutional network that was tried."""

LAYERED: Mapping[Target, tuple[LayeredRecipe, ...]] = {
    "onnx": (OnnxruntimeStatic("minmax"), OnnxWeights()),
    "openvino": (NncfPostTraining("mixed"), NncfWeights("int8_sym")),
    "tflite": (AiEdgeStatic("minmax"), AiEdgeWeights("weight only")),
    "tensorrt": (TensorrtQdq("minmax"),),
}
"""Where the search for layers to keep in float starts: integer arithmetic, then weights alone."""


def recipes_for(target: Target, precision: Precision) -> tuple[Recipe, ...]:
    """The recipes of one target that give `precision`, best guess first."""
    return tuple(recipe for recipe in RECIPES[target] if recipe.precision == precision)
