"""INT8, mixed and FP16 for the `tflite` target by Google's ai-edge-quantizer."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import RecipeSource
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.probes import Probe, TfliteProbe
from edgewright_converter.quantize.ranges import Method, collect_ranges
from edgewright_converter.quantize.recipes.library_recipe import Files, LayeredRecipe, LibraryRecipe

_EVERYTHING = ".*"
_FILE = "model.tflite"


@dataclass(frozen=True, slots=True)
class _AiEdgeRecipe(LayeredRecipe):
    """The float file through ai-edge-quantizer."""

    target = "tflite"

    def probes(
        self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path
    ) -> tuple[Probe, Probe]:
        """The float model and the quantized one."""
        made = self.quantize(source, feed, folder)
        plain = TfliteProbe(source.float_artifact.files[0][1])
        return plain, TfliteProbe(made[0][1])

    def leave_out(self, recipe: Any) -> None:  # Any: ai_edge_quantizer ships no types
        """Have the library's `recipe` leave what stays in float alone."""
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName

        for name in self.kept_float:
            recipe.add_quantization_config(
                regex=f"(^|;){re.escape(name)};",  # An operator's scope is its outputs, each with ;
                operation_name=TFLOperationName.ALL_SUPPORTED,
                algorithm_key=AlgorithmName.NO_QUANTIZE,
            )


@dataclass(frozen=True, slots=True)
class AiEdgeStatic(_AiEdgeRecipe):
    """Static INT8 weights and activations; inputs and outputs stay float.

    The library's default is a moving average of the ranges; the true minimum and maximum gave
    30.9 dB instead of 15.6 on a digits model, and 0.87 instead of 0.74 top-1 agreement on
    EfficientNet-Lite0. The ranges are ours: the library counts its samples by iterating over
    them, so that "read" would prove nothing.
    """

    reads_samples = True

    ranges: Method
    weights: Literal["minmax", "octav"] = "minmax"
    """OCTAV (arXiv:2206.06501) clips weights at the least square error."""
    activation_bits: Literal[8, 16] = 8

    @property
    def name(self) -> str:
        """For example `ai-edge-quantizer static wi8 ai8 minmax`."""
        clipped = "" if self.weights == "minmax" else f", {self.weights} weights"
        return (
            f"ai-edge-quantizer static wi8 ai{self.activation_bits} {self.ranges}{clipped}"
            f"{self.layers_words()}"
        )

    @property
    def kernels(self) -> str:
        """The same whatever the ranges and biases."""
        return replace(self, ranges="minmax", weights="minmax").name

    @property
    def precision(self) -> Precision:
        """Integer weights and activations, or of two widths."""
        return "mixed" if self.kept_float or self.activation_bits == 16 else "int8"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Quantize the float file."""
        from ai_edge_quantizer import recipe_manager
        from ai_edge_quantizer.algorithm_manager import AlgorithmName
        from ai_edge_quantizer.qtyping import TFLOperationName

        assert feed is not None
        model = source.float_artifact.files[0][1]
        ranges = collect_ranges(TfliteProbe(model), feed, self.ranges)
        recipe = recipe_manager.RecipeManager()
        recipe.add_static_config(
            regex=_EVERYTHING,
            operation_name=TFLOperationName.ALL_SUPPORTED,
            activation_num_bits=self.activation_bits,
            weight_num_bits=8,
            algorithm_key=(
                AlgorithmName.OCTAV
                if self.weights == "octav"
                else AlgorithmName.MIN_MAX_UNIFORM_QUANT
            ),
        )
        for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            recipe.add_quantization_config(
                regex=_EVERYTHING, operation_name=edge, algorithm_key=AlgorithmName.NO_QUANTIZE
            )
        self.leave_out(recipe)
        found = {
            name: {
                "min": np.full((1, 1), low, np.float32),
                "max": np.full((1, 1), high, np.float32),
            }
            for name, (low, high) in ranges.items()
        }
        return ((_FILE, _quantize(model, recipe, found)),)


@dataclass(frozen=True, slots=True)
class AiEdgeWeights(_AiEdgeRecipe):
    """INT8 weights, per channel. `dynamic` also computes in int8, with ranges found while it
    runs; `weight only` computes in float.

    No activation is fixed beforehand, so they keep models that static ranges ruin: on a text
    recognizer 20.5 dB and 77 % of lines, where static INT8 has 9.3 dB and 39 %.
    """

    reads_samples = False

    compute: Literal["dynamic", "weight only"]

    @property
    def name(self) -> str:
        """For example `ai-edge-quantizer dynamic wi8`."""
        return f"ai-edge-quantizer {self.compute} wi8{self.layers_words()}"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Quantize the weights of the float file."""
        from ai_edge_quantizer import recipe_manager
        from ai_edge_quantizer.qtyping import TFLOperationName

        recipe = recipe_manager.RecipeManager()
        add = recipe.add_weight_only_config
        if self.compute == "dynamic":
            add = recipe.add_dynamic_config
        add(regex=_EVERYTHING, operation_name=TFLOperationName.ALL_SUPPORTED, num_bits=8)
        self.leave_out(recipe)
        return ((_FILE, _quantize(source.float_artifact.files[0][1], recipe, None)),)


@dataclass(frozen=True, slots=True)
class AiEdgeFp16(LibraryRecipe):
    """FP16 weights, computed in FP32; it loads on LiteRT's CPU, unlike onnx2tf's fp16 files."""

    target = "tflite"
    reads_samples = False

    _KINDS: ClassVar[tuple[str, ...]] = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

    @property
    def name(self) -> str:
        """The library's algorithm."""
        return "ai-edge-quantizer float casting fp16"

    @property
    def precision(self) -> Precision:
        """Half precision."""
        return "fp16"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Cast the weights of the operators that can take it."""
        from ai_edge_quantizer import qtyping, recipe_manager
        from ai_edge_quantizer.algorithm_manager import AlgorithmName

        recipe = recipe_manager.RecipeManager()
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        for kind in self._KINDS:
            recipe.add_quantization_config(
                _EVERYTHING,
                qtyping.TFLOperationName[kind],
                config,
                AlgorithmName.FLOAT_CASTING,
            )
        return ((_FILE, _quantize(source.float_artifact.files[0][1], recipe, None)),)


def _quantize(
    model: bytes,
    recipe: Any,  # Any: as above
    ranges: Any,
) -> bytes:
    from ai_edge_quantizer import quantizer

    work = quantizer.Quantizer(bytearray(model), recipe.get_quantization_recipe())
    return bytes(work.quantize(ranges, enable_progress_report=False).quantized_model)
