"""Classify fashion images through the local door, without copying them.

edgewright runtime serve --model fashion=examples/fashion/models/v1.onnx --socket /tmp/ew.sock
python -m examples.local_client /tmp/ew.sock
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from edgewright_runtime.client import Client

DATA = Path(__file__).parent / "fashion" / "data" / "evaluation.npz"


def main() -> int:
    """Print how many images were told right, and how long one took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("socket", type=Path)
    parser.add_argument("--model", default="fashion")
    arguments = parser.parse_args()
    with np.load(DATA) as data:
        images, labels = data["image"], data["labels"]
    right = 0
    with Client(arguments.socket) as client, client.model(arguments.model).slot(batch=1) as slot:
        image, logits = slot.inputs["image"], slot.outputs["logits"]
        started = time.perf_counter()
        for pixels, label in zip(images, labels, strict=True):
            image[...] = pixels
            slot.run()
            right += int(logits.argmax() == label)
        taken_s = time.perf_counter() - started
    print(f"{right} of {len(labels)} right, {taken_s / len(labels) * 1e6:.0f} us each")
    return 0


if __name__ == "__main__":
    sys.exit(main())
