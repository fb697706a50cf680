"""Sound to listen to: recorded prompts with quiet and noise between them, or a WAV file."""

import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.packages import Package

Floats = NDArray[np.float32]

RATE = 16_000
"""Hertz; what Silero VAD hears."""
PROMPTS = Package("debian", "asterisk-core-sounds-en-wav", "")
ROOMS = {
    "kitchen": ("queue-thankyou", "something-terribly-wrong", "conf-otherinparty", "pbx-invalid"),
    "hall": ("priv-callpending", "vm-reachoper", "spy-skinny", "dir-instr"),
}
"""Room -> what is said there: prompts of a telephone exchange at 8 kHz, by one speaker."""
_PAUSE_S = 1.2
_HISS = 0.004
"""Of full scale: a quiet room through a cheap microphone."""


class NoSound(Exception):
    """What was given is no sound; the message names it."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples at RATE in -1..1, and what was spoken when, in seconds, where that is known."""

    samples: Floats
    spoken: tuple[tuple[str, float, float], ...] = ()

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / RATE


def conversation(names: Sequence[str]) -> Sound:
    """The prompts one after the other with pauses; every second pause has a beep in it.

    Raises PackageUnavailable where they cannot be fetched.
    """
    rng = np.random.default_rng(3)
    times = np.arange(round(_PAUSE_S * RATE)) / RATE
    beep = (0.1 * np.sin(2 * np.pi * 880 * times) * (np.abs(times - 0.6) < 0.2)).astype(np.float32)
    pieces: list[Floats] = []
    spoken = []
    recorded = {name.rpartition("/")[2]: data for name, data in PROMPTS.read_all(".wav")}
    at_s = 0.0
    for number, name in enumerate(names):
        voice = _read(recorded[f"{name}.wav"], name)
        pieces += [beep if number % 2 else np.zeros_like(beep), voice]
        spoken.append((name, at_s + _PAUSE_S, at_s + _PAUSE_S + len(voice) / RATE))
        at_s = spoken[-1][2]
    samples = np.concatenate([*pieces, np.zeros_like(beep)])
    samples += rng.standard_normal(len(samples)).astype(np.float32) * np.float32(_HISS)
    return Sound(samples, tuple(spoken))


def open_wav(path: Path) -> Sound:
    """A WAV file of any rate, 16 bits; channels are averaged. Raises NoSound."""
    try:
        return Sound(_read(path.read_bytes(), str(path)))
    except OSError as error:
        raise NoSound(f"{path}: {error.strerror}") from error


def _read(data: bytes, name: str) -> Floats:
    try:
        with wave.open(io.BytesIO(data)) as file:
            raw = file.readframes(file.getnframes())
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
    except (wave.Error, EOFError) as error:
        raise NoSound(f"{name}: {error}; give a WAV file of 16 bits") from error
    if width != 2:
        raise NoSound(f"{name}: {8 * width} bits; give a WAV file of 16 bits")
    frames = np.frombuffer(raw, "<i2").reshape(-1, channels)
    samples: Floats = frames.mean(axis=1, dtype=np.float32) / np.float32(32768)
    if rate == RATE:
        return samples
    times = np.arange(len(samples) * RATE // rate) * (rate / RATE)
    resampled: Floats = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
    return resampled
