"""ai-edge-quantizer's static_wi8_ai8 with its own calibration, on our float TFLite file.

Inputs and outputs stay in float: every file is called with the same arrays.
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_quantizer import quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName

_, _, calibration, plain, out = sys.argv
arrays = dict(np.load(calibration))
count = len(next(iter(arrays.values())))
samples = [{name: value[i : i + 1] for name, value in arrays.items()} for i in range(count)]
recipe = recipe_manager.RecipeManager()
recipe.add_static_config(".*", TFLOperationName.ALL_SUPPORTED, 8, 8)
for edge in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
    recipe.add_quantization_config(".*", edge, algorithm_key=AlgorithmName.NO_QUANTIZE)
work = quantizer.Quantizer(plain, recipe.get_quantization_recipe())
ranges = work.calibrate({"serving_default": samples})
(Path(out) / "model.tflite").write_bytes(work.quantize(ranges).quantized_model)
