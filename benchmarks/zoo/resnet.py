"""ResNet8 of MLPerf Tiny as ONNX, from the Keras weights file: normalization folded in.

Architecture: https://github.com/mlcommons/tiny, image_classification, "resnet_eembc".
"""

import io
import zipfile
from typing import Any

import h5py
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIZE = 32
_EPSILON = 1e-3
_BLOCKS = (
    # first, second convolution, and the one of the way around (-1: none), by Keras' numbers
    (1, 2, -1),
    (3, 4, 5),
    (6, 7, 8),
)
_NORMALIZED = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 6: 5, 7: 6}
"""Which normalization follows which convolution."""

Weights = dict[str, NDArray[np.float32]]


class _Net:
    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:  # Any: the element type is data
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        """A node; attributes as onnx.helper takes them."""
        name = f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def convolve(self, x: str, number: int, *, stride: int = 1) -> str:
        conv = _numbered("conv2d", number)
        weight = self.weights[f"{conv}/kernel"].transpose(3, 2, 0, 1)
        bias = self.weights[f"{conv}/bias"]
        if number in _NORMALIZED:
            norm = _numbered("batch_normalization", _NORMALIZED[number])
            variance = self.weights[f"{norm}/moving_variance"]
            scale = self.weights[f"{norm}/gamma"] / np.sqrt(variance + np.float32(_EPSILON))
            weight = weight * scale[:, None, None, None]
            bias = (bias - self.weights[f"{norm}/moving_mean"]) * scale
            bias = bias + self.weights[f"{norm}/beta"]
        kernel = weight.shape[2]
        # TensorFlow's SAME over an even size: what is odd goes last.
        whole = max(kernel - stride, 0)
        begin, end = whole // 2, whole - whole // 2
        return self.add(
            "Conv",
            [x, self.constant(f"{conv}.weight", weight), self.constant(f"{conv}.bias", bias)],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[begin, begin, end, end],
        )


def build_resnet(archive: bytes) -> bytes:
    """image [n, 3, 32, 32] in (x - 128) / 128 -> probabilities [n, 10] of CIFAR-10's classes.

    `archive` is the zip with the .h5 file in it.
    """
    net = _Net(_weights(archive))
    x = net.add("Relu", [net.convolve("image", 0)])
    for first, second, around in _BLOCKS:
        stride = 1 if around < 0 else 2
        y = net.add("Relu", [net.convolve(x, first, stride=stride)])
        y = net.convolve(y, second)
        skipped = x if around < 0 else net.convolve(x, around, stride=stride)
        x = net.add("Relu", [net.add("Add", [skipped, y])])
    x = net.add("Flatten", [net.add("GlobalAveragePool", [x])])
    kernel = net.constant("dense.weight", net.weights["dense/kernel"])
    bias = net.constant("dense.bias", net.weights["dense/bias"])
    x = net.add("Gemm", [x, kernel, bias])
    net.nodes.append(helper.make_node("Softmax", [x], ["probabilities"], name="softmax", axis=1))
    graph = helper.make_graph(
        net.nodes,
        "resnet8",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 10])],
        net.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _weights(archive: bytes) -> Weights:
    """Every weight as `layer/weight`."""
    with zipfile.ZipFile(io.BytesIO(archive)) as folder:
        name = next(name for name in folder.namelist() if name.endswith(".h5"))
        raw = folder.read(name)
    found: Weights = {}

    def keep(path: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset):
            found["/".join(path.removesuffix(":0").split("/")[1:])] = np.asarray(entry)

    with h5py.File(io.BytesIO(raw), "r") as file:
        file["model_weights"].visititems(keep)
    return found
