"""Sounds to calibrate and measure with: recorded speech out of packages, and struck notes."""

import io
import wave

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.zoo.packages import Package

Floats = NDArray[np.float32]

SPEECH = Package("debian", "asterisk-core-sounds-en-wav", "")
_RATE = 16_000


def recordings(count: int) -> list[Floats]:
    """Prompts of a telephone exchange at 16 kHz (recorded at 8), in -1..1, each over a second."""
    found: list[Floats] = []
    for _, data in SPEECH.read_all(".wav"):
        with wave.open(io.BytesIO(data)) as file:
            raw, rate = file.readframes(file.getnframes()), file.getframerate()
        samples = np.frombuffer(raw, "<i2").astype(np.float32) / 32768
        times = np.arange(len(samples) * _RATE // rate) * (rate / _RATE)
        if len(times) >= _RATE:
            found.append(np.interp(times, np.arange(len(samples)), samples).astype(np.float32))
        if len(found) == count:
            break
    return found


def speech_windows(model: bytes, count: int) -> dict[str, Floats]:
    """`input` [count, 576] and the `state` [count, 2, 128] that the model itself had there.

    Speech, silence and noise in turn, as a microphone in a room hears them.
    """
    session = onnxruntime.InferenceSession(model)
    rng = np.random.default_rng(5)
    windows, states = [], []
    for recording in recordings(count):
        quiet = rng.standard_normal(_RATE // 2).astype(np.float32) * 0.01
        sound = np.concatenate([quiet, recording])
        state = np.zeros((1, 2, 128), np.float32)
        for start in range(0, len(sound) - 576, 512):
            window = sound[None, start : start + 576]
            if (start // 512) % 5 == 0:
                windows.append(window)
                states.append(state)
                if len(windows) == count:
                    return {"input": np.concatenate(windows), "state": np.concatenate(states)}
            state = session.run(["stateN"], {"input": window, "state": state})[0]
    raise ValueError(f"the recordings give only {len(windows)} windows")


def mel_windows(spectrogram: bytes, count: int) -> Floats:
    """[count, 76, 32, 1]: what openWakeWord's own first stage makes of speech."""
    session = onnxruntime.InferenceSession(spectrogram)
    windows: list[Floats] = []
    for recording in recordings(count):
        mel = session.run(None, {"input": recording[None] * 32767})[0].reshape(-1, 32) / 10 + 2
        windows += [mel[start : start + 76] for start in range(0, len(mel) - 76, 40)]
        if len(windows) >= count:
            break
    return np.stack(windows[:count])[..., None].astype(np.float32)


def struck_notes(count: int, *, samples: int, rate: int = 22_050) -> Floats:
    """[count, samples, 1]: some notes with four overtones each, dying away, on a little noise."""
    rng = np.random.default_rng(9)
    times = np.arange(samples) / rate
    sounds = rng.standard_normal((count, samples)) * 0.002
    for sound in sounds:
        for _ in range(rng.integers(3, 9)):
            pitch = 440 * 2 ** (rng.integers(-24, 24) / 12)
            since = np.clip(times - rng.uniform(0, 1.6), 0, None)
            for overtone in range(1, 6):
                wave_ = np.sin(2 * np.pi * pitch * overtone * since)
                sound += 0.2 / overtone * wave_ * np.exp(-3 * since) * (since > 0)
    return sounds.astype(np.float32)[..., None]
