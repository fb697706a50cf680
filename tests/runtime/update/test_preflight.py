"""Preflight: the child's verdict, and what is a verdict when the child gives none."""

import sys
from pathlib import Path

import pytest
from edgewright_runtime.update.preflight import (
    PreflightStopped,
    PreflightVerdict,
    probe_targets,
    run_preflight,
)

from tests.simulators.releases import Kind, make_release


def unpacked(folder: Path, kind: Kind) -> Path:
    make_release(folder, "v1", kind).entries[0].unpack(folder / "slot")
    return folder / "slot"


def never() -> bool:
    return False


def verdict_on(folder: Path, *, time_limit_s: float = 60) -> PreflightVerdict:
    found = run_preflight(folder, threads=1, stop=never, time_limit_s=time_limit_s)
    assert isinstance(found, PreflightVerdict)
    return found


def test_a_release_that_keeps_its_promise_passes(tmp_path: Path) -> None:
    found = verdict_on(unpacked(tmp_path, "good"))
    assert found.passed
    assert found.placement == "onnxruntime CPUExecutionProvider"
    assert "60.0 dB promised" in found.reason


def test_a_release_that_does_not_is_refused_with_figures(tmp_path: Path) -> None:
    found = verdict_on(unpacked(tmp_path, "wrong"))
    assert not found.passed
    assert "top-1 agreement 0.00 on 8 golden samples, at least 1.00 promised" in found.reason


@pytest.mark.parametrize("file", ["variant.json", "model.onnx", "golden.npz"])
def test_a_damaged_slot_is_refused_by_name(tmp_path: Path, file: str) -> None:
    folder = unpacked(tmp_path, "good")
    path = folder / file
    path.unlink()
    path.write_bytes(b"\x00" * 100)
    found = verdict_on(folder)
    assert not found.passed
    assert "\n" not in found.reason
    assert file.partition(".")[0] in found.reason


def _program(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("kill -SEGV $$", "did not survive the release (signal 11): no message"),
        ("echo 'out of memory' >&2; exit 3", "(exit 3): out of memory"),
        ("echo hello", "did not survive the release (exit 0)"),
        ("exec sleep 60", "no verdict within 0.3 s"),
    ],
)
def test_a_child_without_a_verdict_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str
) -> None:
    monkeypatch.setattr(sys, "executable", _program(tmp_path / "python", body))
    found = verdict_on(tmp_path, time_limit_s=0.3)
    assert not found.passed
    assert words in found.reason


def test_it_stops_when_it_is_told_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", _program(tmp_path / "python", "exec sleep 60"))
    assert run_preflight(tmp_path, threads=1, stop=lambda: True) == PreflightStopped()


def test_a_probe_names_what_runs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe_targets()
    assert "onnx" in found
    assert "tensorrt" not in found
    monkeypatch.setattr(sys, "executable", _program(tmp_path / "python", "exit 1"))
    assert probe_targets() == ()
