"""`edgewright runtime doctor`, as an operator reads it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from edgewright_manifests.cli import main
from edgewright_runtime.engine import proving
from edgewright_runtime.engine.proving import Proof

from tests.runtime import models
from tests.runtime.serving.running import serving_files

Capture = pytest.CaptureFixture[str]


def report(capsys: Capture, *words: str, code: int = 0) -> Any:  # JSON
    assert main(["runtime", "doctor", "--json", *words]) == code
    return json.loads(capsys.readouterr().out)


def by_name(found: Any) -> dict[str, Any]:
    return {finding["name"]: finding for finding in found["findings"]}


def test_every_engine_that_is_installed_has_run_a_model(capsys: Capture, tmp_path: Path) -> None:
    found = report(capsys, "--state", str(tmp_path))
    findings = by_name(found)
    usable = [target["target"] for target in found["targets"] if target["usable"]]
    assert "onnx" in usable
    for target in usable:
        assert findings[target]["state"] == "ok"
        assert findings[target]["found"].startswith("ran a model: ")
        assert findings[target]["version"]
    for name in ("memory", "disk", "clock", "temperature", "throttling", "open files", "eventfd"):
        assert name in findings
    for finding in found["findings"]:
        assert (finding["state"] == "ok") == (finding.get("remedy") is None), finding
    assert findings["answers"]["state"] == "warning", "no server runs in that folder"


def test_an_engine_that_crashes_is_reported_and_takes_nothing_down(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "ai_edge_litert"
    broken.mkdir()
    (broken / "__init__.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    code = "from edgewright_manifests.cli import main; main(['runtime', 'doctor', '--json'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    found = by_name(json.loads(done.stdout))
    assert found["tflite"]["state"] == "broken"
    assert found["tflite"]["found"] == "crashes (signal 11)"
    assert found["onnx"]["state"] == "ok"
    assert done.stderr == "edgewright runtime doctor: broken here: tflite\n"


def test_a_provider_that_falls_back_to_the_cpu_is_broken(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The installed library has no CUDA: asked for it, its child runs on the CPU for real.
    assert proving._prove("onnx", "cuda") == Proof(
        "onnx",
        "cuda",
        "onnxruntime CPUExecutionProvider",
        "wanted cuda, runs on onnxruntime CPUExecutionProvider",
    )


def test_a_server_whose_models_are_not_where_they_were_wanted_is_told(
    capsys: Capture, tmp_path: Path
) -> None:
    model = models.linear_onnx(tmp_path / "m.onnx")
    with serving_files(tmp_path, {"m": model}, "--provider", "cuda,cpu") as running:
        found = by_name(report(capsys, "--control", str(tmp_path / "control.sock")))
        assert found["answers"]["state"] == "ok"
        assert found["m 1"]["state"] == "warning"
        assert found["m 1"]["found"] == "wanted cuda, runs on onnxruntime CPUExecutionProvider"
        _, body = running.exchange(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        line = next(line for line in body.decode().splitlines() if "edgewright_placement{" in line)
        assert 'wanted="cuda",found="onnxruntime CPUExecutionProvider"' in line
        assert line.endswith(" 0")
        _, body = running.exchange(b"GET /v2/models/m/config HTTP/1.1\r\nHost: x\r\n\r\n")
        shown = json.loads(body)["parameters"]["misplaced"]["string_value"]
        assert shown == found["m 1"]["found"]


def test_a_person_reads_what_to_do(capsys: Capture) -> None:
    assert main(["runtime", "doctor"]) == 0
    out = capsys.readouterr().out
    assert "onnx          usable" in out
    assert "ran a model: onnxruntime CPUExecutionProvider" in out
    assert "\nmachine\n" in out
    assert max(map(len, out.splitlines())) < 160


def test_without_the_cpu_among_the_providers_a_model_is_refused(
    capsys: Capture, tmp_path: Path
) -> None:
    model = models.linear_onnx(tmp_path / "m.onnx")
    words = ["runtime", "serve", "--http", "127.0.0.1:0", "--model", str(model)]
    assert main([*words, "--provider", "cuda"]) == 1
    said = capsys.readouterr().err
    assert "has none of the providers cuda" in said
    assert "add 'cpu'" in said
    assert main([*words, "--provider", "warp"]) == 2
    assert "--provider warp: use some of coreml, cpu, cuda" in capsys.readouterr().err
