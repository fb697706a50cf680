"""nncf.quantize as its signature has it, on OpenVINO's model."""

import sys
from pathlib import Path

import nncf
import numpy as np
import openvino

_, model, calibration, _, out = sys.argv
arrays = dict(np.load(calibration))
count = len(next(iter(arrays.values())))
samples = [{name: value[i : i + 1] for name, value in arrays.items()} for i in range(count)]
quantized = nncf.quantize(openvino.Core().read_model(model), nncf.Dataset(samples))
openvino.save_model(quantized, Path(out) / "model.xml", compress_to_fp16=False)
