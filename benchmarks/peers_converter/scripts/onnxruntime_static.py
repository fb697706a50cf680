"""onnxruntime.quantization.quantize_static as its signature has it."""

import sys
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, quantize_static


class Reader(CalibrationDataReader):  # type: ignore[misc]  # its base has no types
    """One sample after the other, a batch of one each."""

    def __init__(self, path: str) -> None:
        arrays = dict(np.load(path))
        count = len(next(iter(arrays.values())))
        self._samples = iter(
            [{name: value[i : i + 1] for name, value in arrays.items()} for i in range(count)]
        )

    def get_next(self) -> object:
        """The next sample, None after the last."""
        return next(self._samples, None)


_, model, calibration, _, out = sys.argv
quantize_static(model, str(Path(out) / "model.onnx"), Reader(calibration))
