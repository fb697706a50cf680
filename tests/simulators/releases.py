"""Small real releases: one linear model in the forms that an update may meet."""

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from edgewright_manifests.bundle import Bundle, BundleWriter, open_bundle
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.variant import Quality, Tolerance
from onnx import TensorProto, helper, numpy_helper

FEATURES, CLASSES, SAMPLES = 4, 3, 8
MODEL = "linear"
SIGNATURE = ModelSignature(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(-1, FEATURES)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, CLASSES)),),
)
Kind = Literal["good", "wrong", "slow", "fragile"]
"""wrong: its outputs are not what its golden vectors promise. slow: right, after a long
while. fragile: right on the golden vectors, NaN for inputs of 50 and more."""


def weights() -> np.ndarray:
    """[4, 3]: the same for every release, so that answers can be told right or wrong."""
    return np.random.default_rng(7).standard_normal((FEATURES, CLASSES)).astype(np.float32)


def make_release(
    folder: Path, version: str, kind: Kind = "good", *, padding_bytes: int = 0
) -> Bundle:
    """A bundle of one ONNX variant, with `padding_bytes` of weights that do nothing."""
    x = np.random.default_rng(3).uniform(-1, 1, (SAMPLES, FEATURES)).astype(np.float32)
    golden = GoldenVectors(inputs={"x": x}, outputs={"y": x @ weights()})
    with BundleWriter(MODEL, version) as writer:
        writer.add_variant(
            target="onnx",
            precision="float",
            recipe="none",
            signature=SIGNATURE,
            files={"model.onnx": _onnx(kind, version, padding_bytes)},
            quality=Quality(samples=SAMPLES),
            tolerance=Tolerance(min_snr_db=60.0, min_top1_agreement=1.0),
            golden=write_golden(golden),
        )
        writer.commit(folder / f"{MODEL}-{version}.bundle")
    return open_bundle(folder / f"{MODEL}-{version}.bundle")


def _onnx(kind: Kind, version: str, padding_bytes: int) -> bytes:
    matrix = weights() * (-1 if kind == "wrong" else 1)
    constants = {"w": matrix}
    nodes = [helper.make_node("MatMul", ["x", "w"], ["plain"])]
    if kind == "slow":
        # Work that depends on the input, so that no optimizer folds it, times zero.
        constants |= {"m": np.ones((700, 700), np.float32), "zero": np.zeros(1, np.float32)}
        nodes += [
            helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
            helper.make_node("Mul", ["m", "mean"], ["scaled"]),
            helper.make_node("MatMul", ["scaled", "m"], ["product"]),
            helper.make_node("ReduceMean", ["product"], ["number"], keepdims=0),
            helper.make_node("Mul", ["number", "zero"], ["nothing"]),
            helper.make_node("Add", ["plain", "nothing"], ["y"]),
        ]
    elif kind == "fragile":
        constants |= {"limit": np.array(50, np.float32), "zero": np.zeros(1, np.float32)}
        nodes += [
            helper.make_node("Sub", ["limit", "x"], ["room"]),
            helper.make_node("Log", ["room"], ["log"]),
            helper.make_node("ReduceMean", ["log"], ["number"], keepdims=0),
            helper.make_node("Mul", ["number", "zero"], ["nothing"]),
            helper.make_node("Add", ["plain", "nothing"], ["y"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["plain"], ["y"]))
    if padding_bytes:
        seed = int.from_bytes(version.encode(), "big") % 2**32
        constants["padding"] = np.random.default_rng(seed).integers(
            0, 256, padding_bytes, dtype=np.uint8
        )
    graph = helper.make_graph(
        nodes,
        f"{MODEL} {version}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
