"""onnx2tf's *_integer_quant.tflite: int8 inside, float at its ends; its other defaults.

It wants the samples as one .npy per input in the layout of its own file, so that is made first.
Inputs with other dynamic sizes than the batch get the samples' own, as its documents ask for.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from ai_edge_litert.interpreter import Interpreter
from onnx2tf import onnx2tf  # type: ignore[import-not-found]  # its environment only

_, model, calibration, _, out = sys.argv
arrays = dict(np.load(calibration))
sizes = [
    f"{entry.name}:1,{','.join(str(size) for size in arrays[entry.name].shape[1:])}"
    for entry in onnx.load(model).graph.input
    if entry.name in arrays
    and not all(size.HasField("dim_value") for size in entry.type.tensor_type.shape.dim[1:])
]


def convert(folder: str, samples: list[list[object]] | None) -> Path:
    """Convert into `folder`; with int8 where there are samples."""
    onnx2tf.convert(
        input_onnx_file_path=model,
        output_folder_path=folder,
        copy_onnx_input_output_names_to_tflite=True,
        output_integer_quantized_tflite=samples is not None,
        custom_input_op_name_np_data_path=samples,
        overwrite_input_shape=sizes or None,
        non_verbose=True,
    )
    kind = "float32" if samples is None else "integer_quant"
    return next(Path(folder).glob(f"*_{kind}.tflite"))


with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
    details = Interpreter(model_path=str(convert(first, None))).get_input_details()
    shapes = {detail["name"]: tuple(detail["shape"][1:]) for detail in details}
    given: list[list[object]] = []
    for name, value in arrays.items():
        moved = value.transpose(0, *range(2, value.ndim), 1) if value.ndim > 2 else value
        shape = shapes.get(name) or shapes.get(f"serving_default_{name}:0", value.shape[1:])
        array = value if value.shape[1:] == shape or moved.shape[1:] != shape else moved
        path = Path(first) / f"{len(given)}.npy"
        np.save(path, array)
        given.append([name, str(path), 0.0, 1.0])
    shutil.copy(convert(second, given), Path(out) / "model.tflite")
