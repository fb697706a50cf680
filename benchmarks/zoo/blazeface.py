"""BlazeFace (short range) through the TFLite door, with a verdict for the whole picture.

The detector says of 896 anchors how sure it is of a face there. A picture holds a face where the
surest anchor is surer than 0.7, which gives two classes to measure accuracy by.
"""

from pathlib import Path

import numpy as np
import onnx
from edgewright_converter.frontend.tflite import read_tflite
from onnx import TensorProto, helper, numpy_helper

SIZE = 128
_SURE = np.log(0.7 / 0.3)
"""As a score before the sigmoid. Even odds call one in eight of the other patches a face."""


def build_blazeface(tflite: bytes) -> bytes:
    """input [1, 128, 128, 3] in -1..1 -> classes [1, 2] (none, face), the anchors' boxes
    [1, 896, 16] and scores [1, 896, 1] before the sigmoid.
    """
    model = read_tflite(tflite, Path("face_detection_short_range.tflite"))
    graph = model.graph
    for name, value in (("signs", np.array([-1, 1])), ("sure", np.array(_SURE))):
        graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    best = helper.make_node(
        "ReduceMax", ["classificators"], ["surest"], "surest", axes=[1], keepdims=0
    )
    over = helper.make_node("Sub", ["surest", "sure"], ["over"], "over")
    graph.node.extend(
        [best, over, helper.make_node("Mul", ["over", "signs"], ["classes"], "signed")]
    )
    classes = helper.make_tensor_value_info("classes", TensorProto.FLOAT, [1, 2])
    outputs = [classes, *graph.output]
    del graph.output[:]
    graph.output.extend(outputs)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
