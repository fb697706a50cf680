"""The recipes per target and precision, in the fixed order that breaks ties.

A new recipe is a class with `name`, `precision`, `needs_calibration` and `build`, and one
line here.
"""

from collections.abc import Mapping

from edgewright_manifests.variant import Precision, Target

from edgewright_converter.candidate import Recipe
from edgewright_converter.quantize.recipes.ai_edge import AiEdgeFp16, AiEdgeStatic
from edgewright_converter.quantize.recipes.nncf_ptq import NncfPostTraining, OpenvinoFp16
from edgewright_converter.quantize.recipes.onnxruntime_static import (
    OnnxruntimeFp16,
    OnnxruntimeStatic,
)

RECIPES: Mapping[Target, tuple[Recipe, ...]] = {
    "onnx": (
        OnnxruntimeStatic("minmax"),
        OnnxruntimeStatic("percentile"),
        OnnxruntimeStatic("entropy"),
        OnnxruntimeStatic("minmax", per_channel=False),
        OnnxruntimeFp16(),
    ),
    "openvino": (
        NncfPostTraining("mixed"),
        NncfPostTraining("mixed", exact_bias_correction=True),
        NncfPostTraining("performance"),
        OpenvinoFp16(),
    ),
    "tflite": (
        AiEdgeStatic("minmax"),
        AiEdgeStatic("moving average"),
        AiEdgeFp16(),
    ),
}


def recipes_for(target: Target, precision: Precision) -> tuple[Recipe, ...]:
    """The recipes of one target that give `precision`, best guess first."""
    return tuple(recipe for recipe in RECIPES[target] if recipe.precision == precision)
