"""Silero VAD, a window at a time: by the served model, and by the authors' own file.

A window is 512 samples with the 64 before them. What the network remembers of a stream is its
state, which goes from one answer into the next question: the server can keep it, or the client.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from edgewright_runtime.client import Client, Step
from numpy.typing import NDArray

from benchmarks.zoo.packages import Package
from examples.voice.activity import WINDOW
from examples.voice.sound import RATE, Floats

PACKAGE = Package("pypi", "silero-vad", "6.2.3")
"""Silero's, MIT."""
MODEL = "silero-vad"
SETTINGS = f"""\
[models.{MODEL}.sequence]
states = [{{ input = "state", output = "stateN" }}]
"""
"""Which output goes into which input of the stream's next question."""
_OWN = "data/silero_vad.onnx"
_BEFORE = 64
_STATE = (2, 1, 128)


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a stream."""

    probabilities: list[float]
    """That somebody speaks, window by window."""
    step_us: list[float]
    """How long each took."""

    def add(self, output: NDArray[Any], started_s: float) -> None:  # Any: as it was answered
        """One more answer, [1, 1], to a question of that time by perf_counter."""
        self.step_us.append((time.perf_counter() - started_s) * 1e6)
        self.probabilities.append(float(output[0, 0]))


def windows(samples: Floats) -> Iterator[Floats]:
    """[576] each: the 64 samples before, then 512 new ones; the last is filled with silence."""
    steps = max(1, -(-len(samples) // WINDOW))
    padded = np.zeros(_BEFORE + steps * WINDOW, np.float32)
    padded[_BEFORE : _BEFORE + len(samples)] = samples
    for start in range(0, steps * WINDOW, WINDOW):
        yield padded[start : start + _BEFORE + WINDOW]


def listen(socket: Path, streams: Mapping[str, Floats]) -> dict[str, Heard]:
    """By the served model, whose state the server keeps: one for each stream, by its name.

    The streams take turns, as microphones in several rooms would.
    """
    heard = {name: Heard([], []) for name in streams}
    with Client(socket) as client:
        model = client.model(MODEL)
        for name, window, first, last in _in_turn(streams):
            started = time.perf_counter()
            answer = model.infer({"input": window[None]}, sequence=Step(name, first, last))
            heard[name].add(answer["output"], started)
    return heard


def listen_carrying(socket: Path, streams: Mapping[str, Floats]) -> dict[str, Heard]:
    """The same with the state carried by this client, in a slot for each stream."""
    heard = {name: Heard([], []) for name in streams}
    with Client(socket) as client, ExitStack() as opened:
        model = client.model(MODEL)
        slots = {name: opened.enter_context(model.slot(batch=1)) for name in streams}
        for slot in slots.values():
            slot.inputs["state"][...] = 0
        for name, window, _, _ in _in_turn(streams):
            started = time.perf_counter()
            slot = slots[name]
            slot.inputs["input"][0] = window
            slot.run()
            slot.inputs["state"][...] = slot.outputs["stateN"]
            heard[name].add(slot.outputs["output"], started)
    return heard


def _in_turn(streams: Mapping[str, Floats]) -> Iterator[tuple[str, Floats, bool, bool]]:
    """Name, window, whether it is the stream's first, whether it is its last."""
    waiting = {name: deque(windows(samples)) for name, samples in streams.items()}
    begun: set[str] = set()
    while waiting:
        for name, left in list(waiting.items()):
            window = left.popleft()
            yield name, window, name not in begun, not left
            begun.add(name)
            if not left:
                del waiting[name]


def listen_as_its_authors(samples: Floats) -> Heard:
    """By the package's own file, as its own code asks it. Raises PackageUnavailable."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its unused initializers are its authors' business
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(PACKAGE.read(_OWN), options)
    state: NDArray[Any] = np.zeros(_STATE, np.float32)  # Any: what onnxruntime returns
    rate = np.array(RATE, np.int64)
    heard = Heard([], [])
    for window in windows(samples):
        started = time.perf_counter()
        output, state = session.run(None, {"input": window[None], "state": state, "sr": rate})
        heard.add(output, started)
    return heard
