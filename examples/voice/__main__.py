"""Who speaks when, by a model that remembers: `python -m examples.voice`.

Silero VAD is converted to a bundle and served, recorded speech streams through it 32 ms at a
time, two streams in turn, and what it hears is held against the authors' own file.
"""

import argparse
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from edgewright_runtime.errors import RuntimeFault

from benchmarks.zoo import ZOO, PackageUnavailable
from examples.demo.programs import CommandFailed, Programs
from examples.local_server import serve_locally
from examples.voice.activity import ON, WINDOW_S, Segment, plot, segments_of
from examples.voice.listening import (
    MODEL,
    SETTINGS,
    Heard,
    listen,
    listen_as_its_authors,
    listen_carrying,
)
from examples.voice.sound import ROOMS, NoSound, Sound, conversation, open_wav

_SAMPLES = 64


def main() -> int:
    """Convert, serve, listen, compare."""
    parser = argparse.ArgumentParser(prog="python -m examples.voice", description=__doc__)
    parser.add_argument("sounds", nargs="*", type=Path, help="WAV files (default: prompts)")
    parser.add_argument("--state", choices=("server", "client"), default="server")
    parser.add_argument("--precision", choices=("float", "auto"), default="float")
    parser.add_argument("--target", choices=("onnx", "openvino", "tflite"), default="onnx")
    arguments = parser.parse_args()
    try:
        if arguments.sounds:
            sounds = {path.stem: open_wav(path) for path in arguments.sounds}
        else:
            sounds = {room: conversation(spoken) for room, spoken in ROOMS.items()}
        # A Unix socket's path may have 107 bytes, which a run folder of one's own may exceed.
        with (
            TemporaryDirectory(prefix="edgewright-voice-") as folder,
            Programs(Path(folder)) as programs,
        ):
            _convert(programs, arguments.target, arguments.precision)
            heard = _serve_and_listen(programs, sounds, arguments.state)
        for name, sound in sounds.items():
            _report(name, sound, heard[name], listen_as_its_authors(sound.samples))
    except (CommandFailed, NoSound, PackageUnavailable, RuntimeFault) as error:
        print(f"examples.voice: {error}", file=sys.stderr)
        return 1
    return 0


def _convert(programs: Programs, target: str, precision: str) -> None:
    """The authors' file without If, measured on speech, quiet and noise."""
    ZOO["silero-vad"].write(programs.folder, calibration=_SAMPLES, evaluation=_SAMPLES)
    programs.run(
        "convert", "silero-vad.onnx", "--target", target, "--precision", precision,
        "--calibration", "calibration.npz", "--evaluate", "evaluation.npz",
    )  # fmt: skip  # reads as the command line that it is


def _serve_and_listen(programs: Programs, sounds: dict[str, Sound], state: str) -> dict[str, Heard]:
    streams = {name: sound.samples for name, sound in sounds.items()}
    if state == "client":
        return listen_carrying(serve_locally(programs, MODEL), streams)
    (programs.folder / "settings.toml").write_text(SETTINGS)
    socket = serve_locally(programs, MODEL, "--model-settings", "settings.toml")
    return listen(socket, streams)


def _report(stream: str, sound: Sound, heard: Heard, own: Heard) -> None:
    segments = segments_of(heard.probabilities)
    print(f"\n{stream}\n{plot(sound, heard.probabilities, segments)}\n")
    for segment in segments:
        said = ", ".join(name for name, start, end in sound.spoken if _shared(segment, start, end))
        print(f"{segment.start_s:6.2f} to {segment.end_s:6.2f} s  {said}".rstrip())
    step_us = statistics.median(heard.step_us)
    print(
        f"\n{len(heard.probabilities)} windows of {WINDOW_S * 1e3:.0f} ms, {step_us:.0f} us each "
        f"(median): {WINDOW_S * 1e6 / step_us:.0f} times as fast as it was spoken"
    )
    if sound.spoken:
        centres = (np.arange(len(heard.probabilities)) + 0.5) * WINDOW_S
        truth = [any(start <= at < end for _, start, end in sound.spoken) for at in centres]
        found = [any(each.start_s <= at < each.end_s for each in segments) for at in centres]
        share = np.mean(np.array(truth) == found)
        print(f"{share:.1%} of the windows are as they were put together (a prompt has pauses too)")
    print(_compared(heard, own))


def _compared(heard: Heard, own: Heard) -> str:
    ours, theirs = np.array(heard.probabilities), np.array(own.probabilities)
    same = np.mean((ours >= ON) == (theirs >= ON))
    segments = segments_of(heard.probabilities) == segments_of(own.probabilities)
    return (
        f"the authors' own file in this process: {same:.2%} of the decisions equal, segments "
        f"{'equal' if segments else 'differ'}, probabilities at most "
        f"{np.abs(ours - theirs).max():.1e} apart, {statistics.median(own.step_us):.0f} us each"
    )


def _shared(segment: Segment, start_s: float, end_s: float) -> bool:
    return segment.start_s < end_s and start_s < segment.end_s


if __name__ == "__main__":
    sys.exit(main())
