"""The commands of the device, as a person or a script calls them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from edgewright_manifests.bundle import BundleWriter, open_bundle
from edgewright_manifests.cli import main
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.variant import Quality, Target, Tolerance
from edgewright_runtime.engine import open_session

from tests.runtime import models

Capture = pytest.CaptureFixture[str]
DEADLINE_S = 60.0


def golden(seed: int = 0) -> GoldenVectors:
    """What the linear model gives for 8 random samples, computed by numpy."""
    w, b = models.weights(seed)
    x = np.random.default_rng(5).standard_normal((8, models.FEATURES)).astype(np.float32)
    y = (x @ w + b).astype(np.float32)
    return GoldenVectors(inputs={"x": x}, outputs={"y": y}, labels=y.argmax(axis=1))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    models.linear_onnx(folder / "m.onnx")
    models.linear_onnx(folder / "wrong.onnx", seed=9)
    models.linear_openvino(folder / "m.xml")
    models.linear_tflite(folder / "m.tflite")
    return folder


@pytest.fixture(scope="module")
def bundle(files: Path) -> Path:
    """linear 1.0 for onnx, openvino and tflite."""
    artifacts: dict[Target, list[str]] = {
        "onnx": ["m.onnx"],
        "openvino": ["m.xml", "m.bin"],
        "tflite": ["m.tflite"],
    }
    with BundleWriter("linear", "1.0") as writer:
        for target, names in artifacts.items():
            session = open_session(target, files / names[0])
            writer.add_variant(
                target=target,
                precision="float",
                recipe="none",
                signature=session.signature,
                files={name: (files / name).read_bytes() for name in names},
                quality=Quality(samples=8, accuracy=1.0, accuracy_float=1.0),
                tolerance=Tolerance(min_accuracy=0.9, min_snr_db=40.0),
                golden=write_golden(golden()),
            )
            session.close()
        writer.commit(files / "linear.bundle")
    return files / "linear.bundle"


def said(capsys: Capture, *words: str, code: int = 0) -> tuple[str, str]:
    """Run a command; its stdout and stderr, which is one line for each refusal."""
    assert main(words) == code
    out, err = capsys.readouterr()
    if code:
        assert "Traceback" not in err
    return out, err


def document(capsys: Capture, *words: str, code: int = 0) -> dict[str, object]:
    found = json.loads(said(capsys, *words, "--json", code=code)[0])
    assert isinstance(found, dict)
    return found


def test_doctor_reports_every_target_with_a_remedy_where_there_is_one(capsys: Capture) -> None:
    found = document(capsys, "runtime", "doctor")
    targets = found["targets"]
    assert isinstance(targets, list)
    assert {t["target"] for t in targets} == {"onnx", "openvino", "tflite", "coreml", "tensorrt"}
    assert all(t["usable"] or (t["reason"] and t["remedy"]) for t in targets)
    text, _ = said(capsys, "runtime", "doctor")
    assert re.search(r"^onnx +usable$", text, re.MULTILINE)


def test_show_lists_the_variants(capsys: Capture, bundle: Path) -> None:
    found = document(capsys, "bundle", "show", str(bundle))
    assert found["name"] == "linear"
    variants = found["variants"]
    assert isinstance(variants, list)
    assert [v["target"] for v in variants] == ["onnx", "openvino", "tflite"]
    text, _ = said(capsys, "bundle", "show", str(bundle), "--target", "tflite")
    assert "tflite-float" in text
    assert "onnx-float" not in text


def test_check_runs_the_golden_vectors_of_every_variant(capsys: Capture, bundle: Path) -> None:
    found = document(capsys, "bundle", "check", str(bundle))
    assert found["passed"] is True
    variants = found["variants"]
    assert isinstance(variants, list)
    assert [(v["variant"], v["passed"]) for v in variants] == [
        ("onnx-float", True),
        ("openvino-float", True),
        ("tflite-float", True),
    ]
    assert variants[0]["placement"] == "onnxruntime CPUExecutionProvider"


def test_check_finds_one_flipped_bit_anywhere(
    capsys: Capture, bundle: Path, tmp_path: Path
) -> None:
    for path in sorted(bundle.rglob("*")):
        if path.is_dir():
            continue
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        copy = tmp_path / "copy.bundle"
        subprocess.run(["cp", "-r", str(bundle), str(copy)], check=True)
        (copy / path.relative_to(bundle)).write_bytes(bytes(data))
        _, err = said(capsys, "bundle", "check", str(copy), code=1)
        assert len(err.splitlines()) == 1, err
        subprocess.run(["rm", "-r", str(copy)], check=True)


def test_assemble_marks_figures_as_claimed_and_check_holds_them_against_the_device(
    capsys: Capture, files: Path, bundle: Path, tmp_path: Path
) -> None:
    words = ["bundle", "assemble", "--name", "vendor", "--release-version", "2.0"]
    good = tmp_path / "good.bundle"
    (tmp_path / "g.npz").write_bytes(write_golden(golden()))
    made = document(
        capsys, *words, "--variant", f"onnx={files / 'm.onnx'}",
        "--variant", f"openvino:fp16={files / 'm.xml'}",
        "--golden", str(tmp_path / "g.npz"), "--accuracy", "0.93", "--min-snr-db", "30",
        "--out", str(good),
    )  # fmt: skip  # flags beside their values
    assert made["variants"] == ["onnx-float", "openvino-fp16"]
    for entry in open_bundle(good).entries:
        assert entry.variant.claimed
        assert entry.variant.quality.accuracy == 0.93
        assert entry.variant.tolerance == Tolerance(min_accuracy=0.93, min_snr_db=30.0)
    assert document(capsys, "bundle", "check", str(good))["passed"] is True
    wrong = tmp_path / "wrong.bundle"
    said(
        capsys, *words, "--variant", f"onnx={files / 'wrong.onnx'}", "--golden-from", str(bundle),
        "--accuracy", "0.93", "--out", str(wrong),
    )  # fmt: skip  # flags beside their values
    text, _ = said(capsys, "bundle", "check", str(wrong), code=1)
    assert "FAILED: accuracy" in text
    assert "at least 0.93 promised" in text


def test_assemble_wants_a_promise(capsys: Capture, files: Path, bundle: Path) -> None:
    _, err = said(
        capsys, "bundle", "assemble", "--name", "v", "--release-version", "1", "--variant",
        f"onnx={files / 'm.onnx'}", "--golden-from", str(bundle), "--out", str(files / "n"), code=2,
    )  # fmt: skip  # flags beside their values
    assert "say what the artifacts promise" in err


def test_extract_writes_the_artifact_and_overwrites_nothing(
    capsys: Capture, files: Path, bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.xml"
    words = ["bundle", "extract", str(bundle), "--target", "openvino", "--out", str(out)]
    assert document(capsys, *words)["files"] == [str(out), str(tmp_path / "x.bin")]
    assert out.read_bytes() == (files / "m.xml").read_bytes()
    assert (tmp_path / "x.bin").read_bytes() == (files / "m.bin").read_bytes()
    assert "is there already" in said(capsys, *words, code=1)[1]
    assert "choose one with --target" in said(capsys, "bundle", "extract", str(bundle), code=2)[1]


def test_bench_measures_every_variant(capsys: Capture, bundle: Path) -> None:
    found = document(capsys, "runtime", "bench", str(bundle), "--seconds", "0.05")
    variants = found["variants"]
    assert isinstance(variants, list)
    assert {v["variant"] for v in variants} == {"onnx-float", "openvino-float", "tflite-float"}
    for variant in variants:
        assert 0 < variant["latency_ms_median"] <= variant["latency_ms_p99"]


@contextmanager
def served(*words: str) -> Iterator[tuple[str, str]]:
    """`edgewright runtime serve` in a process; its address and what it said until then."""
    command = [sys.executable, "-c", "import sys; from edgewright_manifests.cli import main;"
               "sys.exit(main())", "runtime", "serve", "--http", "127.0.0.1:0", *words]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            text = ""
            while "serving " not in text:
                line = process.stderr.readline()
                assert line, text
                text += line
            match = re.search(r"http://([0-9.:]+)/", text)
            assert match is not None
            yield match[1], text
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite", None])
def test_serve_serves_a_bundle_and_models_lists_it(
    capsys: Capture, bundle: Path, target: str | None
) -> None:
    words = ["--model", f"mine={bundle}", *(["--target", target] if target else [])]
    with served(*words) as (address, text):
        assert f"serving mine 1.0 ({target or ''}" in text
        out, _ = said(capsys, "runtime", "models", "--http", address)
        assert out.splitlines()[0].startswith("mine 1.0")
        assert "x FP32 [-1, 4]" in out


@pytest.mark.parametrize("name", ["m.onnx", "m.xml", "m.tflite"])
def test_serve_serves_a_bare_file_under_its_stem(files: Path, name: str) -> None:
    with served("--model", str(files / name)) as (address, _):
        reply = urllib.request.urlopen(f"http://{address}/v2/models/m", timeout=20)
        with reply:
            inputs = json.load(reply)["inputs"]
    assert inputs == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]


def test_serve_refuses_what_it_cannot_serve_in_one_line(
    capsys: Capture, files: Path, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no model at all")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        model = str(files / "m.onnx")
        for words, code, line in (
            ([], 2, "nothing to serve"),
            (["--model", str(tmp_path / "nothing.onnx")], 1, "no such file"),
            (["--model", str(tmp_path / "broken.onnx")], 1, "onnxruntime refuses it"),
            (["--model", str(tmp_path)], 1, "is no bundle"),
            (["--model", str(bundle), "--target", "tensorrt"], 1, "no variant 'tensorrt'"),
            (["--model", model, "--target", "tflite"], 1, "is for onnx, not for tflite"),
            (["--model", model, "--model", model], 2, "two models are called m"),
            (["--model", "m="], 2, "the path is missing"),
            (["--model", model, "--http", f"127.0.0.1:{port}"], 1, "is in use"),
            (["--model", model, "--http", "nowhere"], 1, "is no address"),
            (["--state", str(tmp_path)], 1, "is in no fleet yet"),
            (["--state", str(tmp_path), "--model", model], 2, "do not go with --state"),
        ):
            _, err = said(capsys, "runtime", "serve", *words, code=code)
            assert line in err
            assert len([text for text in err.splitlines() if "INFO" not in text]) == 1, err


def test_an_address_that_others_can_reach_is_warned_about(capsys: Capture) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        _, err = said(
            capsys, "runtime", "serve", "--model", os.devnull, "--http", f"0.0.0.0:{port}", code=1
        )
    assert "no TLS" in err
    assert "no token" in err


def test_status_tells_a_device_that_does_not_run(capsys: Capture, tmp_path: Path) -> None:
    found = document(capsys, "runtime", "status", "--state", str(tmp_path), code=1)
    assert found["running"] is False
    assert found["update"] == "idle"
    _, err = said(capsys, "runtime", "status", "--state", str(tmp_path / "nothing"), code=2)
    assert "no such state folder" in err


def test_models_says_when_nobody_answers(capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
    _, err = said(capsys, "runtime", "models", "--http", address, code=1)
    assert "no server answers there" in err
