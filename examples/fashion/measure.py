"""Measures the exported models as a device would use them, and writes accuracy.json.

    python -m examples.fashion.measure --data DATA --models examples/fashion/models

Accuracy is over all 10,000 test images, in onnxruntime, on the files as they are. Latency is
printed, not written: it belongs to the machine.

Run it from the repository root; DATA is the folder of the four gzipped IDX files. Needs
onnxruntime and numpy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from examples.fashion.fashion_mnist import PIXEL_MEAN, PIXEL_STD, Split, load_split

NAMES = ("v1", "v2", "v3", "v4-dense")
TRAINED_ON_NORMALISED_PIXELS = frozenset({"v3"})

BATCH_SIZE = 500  # divides 10,000
LATENCY_WARMUP_RUNS = 100
LATENCY_RUNS = 2_000

# Field numbers in onnx.proto3.
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER = 5
_TENSOR_DIMS = 1


@dataclass(frozen=True, slots=True)
class Measurement:
    """What accuracy.json says of one model; accuracies are fractions of the 10,000 test images.

    `accuracy` is on raw pixels 0..255, as the device has them. `notebook_accuracy` is on
    normalised pixels, as the training notebook had them, where the two differ.
    """

    accuracy: float
    notebook_accuracy: float | None
    parameters: int
    size_bytes: int
    sha256: str


def main() -> None:
    """Measures every model in the folder, writes accuracy.json there and prints a table."""
    parser = argparse.ArgumentParser(description="Measure accuracy, size and latency.")
    parser.add_argument("--data", type=Path, required=True, help="folder of the *.gz IDX files")
    parser.add_argument("--models", type=Path, required=True, help="folder of the *.onnx files")
    arguments = parser.parse_args()

    test = load_split(arguments.data, "test")
    measured: dict[str, dict[str, float | int | str]] = {}
    print("| model | accuracy | notebook accuracy | parameters | bytes | latency p50, us |")
    print("|---|---|---|---|---|---|")
    for name in NAMES:
        path = arguments.models / f"{name}.onnx"
        result = measure(path, test, on_normalised=name in TRAINED_ON_NORMALISED_PIXELS)
        measured[name] = {key: value for key, value in asdict(result).items() if value is not None}
        notebook = "" if result.notebook_accuracy is None else f"{result.notebook_accuracy:.2%}"
        print(
            f"| {name} | {result.accuracy:.2%} | {notebook} | {result.parameters:,}"
            f" | {result.size_bytes:,} | {latency_us_p50(path):.0f} |"
        )
    (arguments.models / "accuracy.json").write_text(json.dumps(measured, indent=2) + "\n")


def measure(path: Path, test: Split, *, on_normalised: bool) -> Measurement:
    """Everything about one model file that does not depend on the machine."""
    content = path.read_bytes()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    raw = test.images.astype(np.float32)
    notebook_accuracy = None
    if on_normalised:
        normalised = ((raw / 255 - PIXEL_MEAN) / PIXEL_STD).astype(np.float32)
        notebook_accuracy = _accuracy(session, normalised, test.labels)
    return Measurement(
        accuracy=_accuracy(session, raw, test.labels),
        notebook_accuracy=notebook_accuracy,
        parameters=count_parameters(content),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def latency_us_p50(path: Path) -> float:
    """Median time of one inference at batch 1 on one thread, in microseconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    image = np.zeros((1, 1, 28, 28), np.float32)
    durations_ns = []
    for _ in range(LATENCY_WARMUP_RUNS + LATENCY_RUNS):
        started_ns = time.perf_counter_ns()
        session.run(["logits"], {"image": image})
        durations_ns.append(time.perf_counter_ns() - started_ns)
    return statistics.median(durations_ns[LATENCY_WARMUP_RUNS:]) / 1_000


def count_parameters(model: bytes) -> int:
    """The number of elements in all initializers of a serialised ONNX model.

    Read from the protobuf wire format, so that the onnx package is not needed here.
    """
    graph = next(value for field, value in _fields(model) if field == _MODEL_GRAPH)
    assert isinstance(graph, bytes)
    count = 0
    for field, tensor in _fields(graph):
        if field == _GRAPH_INITIALIZER and isinstance(tensor, bytes):
            elements = 1
            for tensor_field, dimension in _fields(tensor):
                if tensor_field == _TENSOR_DIMS and isinstance(dimension, int):
                    elements *= dimension
            count += elements
    return count


def _accuracy(
    session: onnxruntime.InferenceSession,
    images: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
) -> float:
    """The fraction of `images` FP32 [count, 1, 28, 28] whose largest logit is at the label."""
    right = 0
    for start in range(0, len(images), BATCH_SIZE):
        stop = start + BATCH_SIZE
        (logits,) = session.run(["logits"], {"image": images[start:stop]})
        right += int(np.count_nonzero(logits.argmax(axis=1) == labels[start:stop]))
    return right / len(images)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field number and value of each field of one protobuf message (protobuf.dev, encoding)."""
    position = 0

    def varint() -> int:
        nonlocal position
        value, shift = 0, 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        tag = varint()
        field, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            yield field, varint()
            continue
        # 2 is length-delimited; 1 and 5 are fixed at eight and four bytes.
        size = {1: 8, 5: 4}.get(wire_type) or varint()
        yield field, message[position : position + size]
        position += size


if __name__ == "__main__":
    main()
