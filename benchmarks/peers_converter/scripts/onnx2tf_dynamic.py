"""onnx2tf's *_dynamic_range_quant.tflite: int8 weights, activations quantized as it runs.

Inputs with other dynamic sizes than the batch get the samples' own, as its documents ask for.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx2tf import onnx2tf  # type: ignore[import-not-found]  # its environment only

_, model, calibration, _, out = sys.argv
samples = np.load(calibration)
sizes = [
    f"{entry.name}:1,{','.join(str(size) for size in samples[entry.name].shape[1:])}"
    for entry in onnx.load(model).graph.input
    if entry.name in samples
    and not all(size.HasField("dim_value") for size in entry.type.tensor_type.shape.dim[1:])
]
with tempfile.TemporaryDirectory() as name:
    onnx2tf.convert(
        input_onnx_file_path=model,
        output_folder_path=name,
        copy_onnx_input_output_names_to_tflite=True,
        output_dynamic_range_quantized_tflite=True,
        overwrite_input_shape=sizes or None,
        non_verbose=True,
    )
    made = next(Path(name).glob("*_dynamic_range_quant.tflite"))
    shutil.copy(made, Path(out) / "model.tflite")
