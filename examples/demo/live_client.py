"""A client that never pauses: sends real images to one daemon with the stock Triton client.

    python live_client.py --url 127.0.0.1:8001 --images evaluation.npz --out log.jsonl

Writes one JSON line a request: time, whether it was answered, by which release, how many
of its images were classified right, and how long it took. Ends on SIGTERM, after the
request in flight.
"""

import argparse
import json
import signal
import threading
import time
from pathlib import Path
from types import FrameType

import numpy as np
import numpy.typing as npt
import tritonclient.http as triton

BATCH_SIZES = (1, 2, 4)
"""Images a request, in turn: a client's batches are not all alike."""


def send(
    client: triton.InferenceServerClient,
    images: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
) -> dict[str, object]:
    """Ask for the classes of images [n, 1, 28, 28]; one line of the log."""
    started = time.time()
    entry: dict[str, object] = {"time": started, "images": len(images)}
    tensor = triton.InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    try:
        answer = client.infer("fashion", [tensor])
        classes = answer.as_numpy("logits").argmax(axis=1)
    except Exception as error:  # whatever went wrong, a customer would have seen it
        return entry | {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return entry | {
        "ok": True,
        "release": answer.get_response().get("model_version", ""),
        "correct": int((classes == labels).sum()),
        "latency_ms": (time.time() - started) * 1000,
    }


def main() -> None:
    """Send until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="HOST:PORT of the daemon")
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--rate", type=float, default=25.0, help="requests a second")
    arguments = parser.parse_args()

    stop = threading.Event()

    def finish(signum: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, finish)
    with np.load(arguments.images) as samples:
        images, labels = samples["image"].astype(np.float32), samples["labels"]
    client = triton.InferenceServerClient(arguments.url)
    order = np.random.default_rng(0)
    with arguments.out.open("w") as log:
        count = 0
        while not stop.is_set():
            chosen = order.integers(0, len(images), BATCH_SIZES[count % len(BATCH_SIZES)])
            json.dump(send(client, images[chosen], labels[chosen]), log)
            log.write("\n")
            log.flush()
            count += 1
            stop.wait(1 / arguments.rate)


if __name__ == "__main__":
    main()
