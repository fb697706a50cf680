"""onnxsim.export_tflite as its signature has it, after onnxsim.simplify.

It takes fixed sizes only, so dynamic inputs get the samples' own, a batch of one.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxsim

_, model, calibration, _, out = sys.argv
source = onnx.load(model)
samples = np.load(calibration)
sizes = {
    entry.name: [1, *samples[entry.name].shape[1:]]
    for entry in source.graph.input
    if entry.name in samples
    and not all(size.HasField("dim_value") for size in entry.type.tensor_type.shape.dim)
}
simplified, same = onnxsim.simplify(source, overwrite_input_shapes=sizes or None)
if not same:
    raise ValueError("onnxsim's own check says that its simplified model differs")
onnxsim.export_tflite(simplified, str(Path(out) / "model.tflite"))
