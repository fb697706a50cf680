"""The comparison with other converters: what they make is called rightly, kept and told."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_manifests.variant import Target
from edgewright_runtime.engine import open_session
from onnx import TensorProto, helper

from benchmarks.peers_converter import making, table
from benchmarks.peers_converter.adaptation import Adapted, Misfit
from benchmarks.peers_converter.cells import Cell, Judged, Right, Timed, kept_cell
from benchmarks.peers_converter.making import Inputs, make_ours, make_peers
from benchmarks.peers_converter.measuring import Judge, time_cells
from benchmarks.peers_converter.reasons import losses
from benchmarks.peers_converter.registry import FLOAT, OURS, PEERS

Dims = list[str | int | None]
RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the cache and the document are relative


def _save(path: Path, nodes: list[onnx.NodeProto], ends: dict[str, Dims]) -> Path:
    """A model whose inputs and outputs are `ends`; those that start with y are outputs."""
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in ends.items()
    }
    graph = helper.make_graph(
        nodes,
        "graph",
        [value for name, value in values.items() if not name.startswith("y")],
        [value for name, value in values.items() if name.startswith("y")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def _source(folder: Path) -> Path:
    """Two inputs, two outputs: y0 is x0 + x1 [n, 3, 4, 5], y1 its means [n, 3]."""
    nodes = [
        helper.make_node("Add", ["x0", "x1"], ["y0"]),
        helper.make_node("ReduceMean", ["y0"], ["y1"], axes=[2, 3], keepdims=0),
    ]
    image: Dims = ["n", 3, 4, 5]
    ends: dict[str, Dims] = {"x0": image, "x1": image, "y0": image, "y1": ["n", 3]}
    return _save(folder / "source.onnx", nodes, ends)


def _channels_last(folder: Path, *, width: int = 5) -> Path:
    """The same as another converter may write it: NHWC, other names, outputs in another order."""
    nodes = [
        helper.make_node("Add", ["x1", "x_0"], ["y_a"]),
        helper.make_node("ReduceMean", ["y_a"], ["y_b"], axes=[1, 2], keepdims=1),
    ]
    image: Dims = ["n", 4, width, 3]
    ends: dict[str, Dims] = {"x1": image, "x_0": image, "y_b": ["n", 1, 1, 3], "y_a": image}
    return _save(folder / "other.onnx", nodes, ends)


def test_a_file_with_channels_last_and_other_names_is_called_as_the_source(tmp_path: Path) -> None:
    source = open_session("onnx", _source(tmp_path))
    other = Adapted(open_session("onnx", _channels_last(tmp_path)), source.signature)
    inputs = {name: RNG.standard_normal((1, 3, 4, 5)).astype(np.float32) for name in ("x0", "x1")}
    expected, found = source.run(inputs), other.run(inputs)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6)


def test_a_file_of_another_size_is_a_misfit(tmp_path: Path) -> None:
    source = open_session("onnx", _source(tmp_path))
    other = Adapted(open_session("onnx", _channels_last(tmp_path, width=6)), source.signature)
    with pytest.raises(Misfit, match="fits none of the source's"):
        other.run({name: np.zeros((1, 3, 4, 5), np.float32) for name in ("x0", "x1")})


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    model = _source(tmp_path)
    paths = []
    for name in ("calibration", "evaluation"):
        paths.append(tmp_path / f"{name}.npz")
        arrays = RNG.standard_normal((2, 24, 3, 4, 5)).astype(np.float32)
        np.savez(paths[-1], x0=arrays[0], x1=arrays[1])
    return Inputs("small", model, *paths)


def test_a_peers_file_is_measured_beside_ours_and_kept(inputs: Inputs) -> None:
    target: Target = "onnx"
    judge = Judge.of(inputs)
    plain = judge.judge(make_ours(inputs, target, FLOAT), target)
    assert plain.problem == ""
    made = make_peers(inputs, PEERS["onnxruntime default"], plain)
    peer = judge.judge(made, target)
    assert peer.judged is not None, peer.problem
    assert 10 < peer.judged.snr_db < 80
    assert peer.seconds > 0
    assert peer.size_bytes == (peer.folder / peer.file).stat().st_size
    timed = time_cells(judge, [peer, plain], target)
    assert all(cell.timed is not None and cell.timed.us_p50 > 0 for cell in timed)
    assert kept_cell("small", "onnx", "onnxruntime default") == timed[0]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("raise ValueError('no such thing')", "ValueError: no such thing"),
        (
            "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('x') from e",
            "ZeroDivisionError: division by zero",
        ),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
            "its process ends by signal 11",
        ),
        ("pass", "it ends well and leaves no file"),
    ],
)
def test_a_peer_that_fails_is_a_row_with_its_reason(
    script: str, told: str, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "SCRIPTS", tmp_path)
    peer = PEERS["onnxruntime default"]
    (tmp_path / peer.script).write_text(script)
    cell = make_peers(inputs, peer, Cell(model="small", target="onnx", by=FLOAT, file="m"))
    assert cell.problem == told
    assert cell.judged is None


def _cell(by: str, right: float, speed: float, size: int, gate: str = "") -> Cell:
    figure = Right(name="accuracy", value=right, value_float=0.9)
    return Cell(
        model="magika", target="onnx", by=by, seconds=2.0, file="m", size_bytes=size,
        judged=Judged(samples=100, snr_db=20.0, right=figure, gate=gate),
        timed=Timed(us_p50=10.0, speed_up=speed),
    )  # fmt: skip  # what was made, what was measured


OUR_CELL = _cell(OURS, 0.9, 2.0, 300)


@pytest.mark.parametrize(
    ("peer", "found"),
    [
        (_cell("Olive default", 0.9, 2.05, 299), {}),
        (_cell("Olive default", 0.9, 3.0, 300), {"speed": ""}),
        (_cell("Olive default", 0.92, 1.0, 300), {"quality": "ours is ahead in speed"}),
        (
            _cell("Olive default", 0.5, 3.0, 200, "too bad"),
            dict.fromkeys(("speed", "size"), "it does not pass the gates: too bad"),
        ),
    ],
)
def test_every_figure_in_which_another_is_ahead_has_a_reason_or_asks_for_one(
    peer: Cell, found: dict[str, str]
) -> None:
    assert losses(OUR_CELL, peer) == found


def test_the_section_replaces_the_one_that_is_there(tmp_path: Path) -> None:
    document = tmp_path / "docs/benchmarks.md"
    document.parent.mkdir()
    document.write_text("# Benchmarks\n\n## Converter\n\nold\n\n## Local door\nkept\n")
    plain, bad = _cell(FLOAT, 0.9, 1.0, 1000), _cell("Olive default", 0.5, 3.0, 200, "too bad")
    text = table.section([plain, OUR_CELL, bad], "onnx 1")
    table.write(text)
    table.write(text)
    written = document.read_text()
    assert "old" not in written
    assert written.count("## Converter\n") == 1
    assert written.endswith("\n## Local door\nkept\n")
    assert "| magika | onnx | edgewright | accuracy 90.00% of 90.00% |" in written
    assert "accuracy 50.00% of 90.00% †" in written
    assert "Olive default in speed and size; it does not pass the gates: too bad." in written


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_second_run_of_the_command_finds_everything_kept(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "benchmarks.bench_converter", "--model", "silero-vad"]
    words += ["--target", "onnx", "--peer", OURS, "onnxruntime default"]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    first, second = (
        subprocess.run(
            words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        for _ in range(2)
    )
    if "not here" in first.stderr:
        pytest.skip(f"a package cannot be fetched here: {first.stderr.strip()}")
    assert "silero-vad, onnx: onnxruntime default" in first.stderr
    assert second.stderr == ""
    rows = [line for line in first.stdout.splitlines() if line.startswith("| silero-vad | onnx |")]
    assert len(rows) == 3
    assert all(row.split("|")[-4].strip().endswith("x") for row in rows)
    assert first.stdout == second.stdout
