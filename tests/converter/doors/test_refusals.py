"""What the doors say when they do not open: one line, exit 1, nothing written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from edgewright_converter.errors import ConverterError, ModelFileError
from edgewright_converter.frontend import open_model
from edgewright_converter.model_reference import is_reference, stem_of

from tests.converter.command import Convert
from tests.converter.conftest import MAIN
from tests.converter.networks import images, save_samples

DEADLINE_S = 60.0


def absent(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is not None, reason=f"{package} is installed")


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """`made.py` with this text, in what becomes the current folder."""
    (folder / "made.py").write_text(text)
    monkeypatch.chdir(folder)
    return Path("made:model")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        pytest.param("m.pt2", "torch", "pytorch", marks=absent("torch")),
        pytest.param("m.keras", "tensorflow", "keras", marks=absent("tensorflow")),
        pytest.param("m.h5", "tensorflow", "keras", marks=absent("tensorflow")),
        pytest.param("m.H5", "tensorflow", "keras", marks=absent("tensorflow")),
    ],
)
def test_a_door_without_its_extra_says_which_one_to_install(
    convert: Convert, tmp_path: Path, name: str, package: str, extra: str
) -> None:
    (tmp_path / name).write_bytes(b"anything")
    told = convert.must_refuse(tmp_path / name)
    assert f"needs {package}, which is not installed" in told
    assert told.endswith(f"pip install 'edgewright-converter[{extra}]'")


@absent("tensorflow")
def test_a_saved_model_without_tensorflow_says_which_extra_to_install(
    convert: Convert, tmp_path: Path
) -> None:
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported" / "saved_model.pb").write_bytes(b"")
    told = convert.must_refuse(tmp_path / "exported")
    assert "needs tensorflow, which is not installed" in told
    assert "edgewright-converter[keras]" in told


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        pytest.param("torch", "pytorch", marks=absent("torch")),
        pytest.param("jax.numpy", "jax", marks=absent("jax")),
    ],
)
def test_a_module_that_imports_a_missing_framework_says_which_extra_to_install(
    convert: Convert,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    extra: str,
) -> None:
    told = convert.must_refuse(module(tmp_path, monkeypatch, f"import {package}\nmodel = 1\n"))
    assert "which is not installed" in told
    assert f"pip install 'edgewright-converter[{extra}]'" in told


@pytest.mark.parametrize("name", ["m.pth", "m.PTH", "m.ckpt", "m.pkl", "m.joblib"])
def test_a_file_that_looks_like_a_pickle_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelFileError, match="is a pickle"):
        open_model(tmp_path / name, None, {}, tmp_path, lambda: None)


def test_a_pickle_is_refused_with_what_to_give_instead(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    told = convert.must_refuse(tmp_path / "m.pt")
    assert "is a pickle, which is never loaded because it can run code" in told
    assert "package.module:attribute" in told
    assert ".pt2" in told


def test_a_folder_without_a_saved_model_is_refused(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is a folder and holds no saved_model.pb" in convert.must_refuse(tmp_path / "empty")


WRONG = [
    ("model = 3\n", "is an object of type int, neither a PyTorch nn.Module nor a JAX function"),
    ("other = 3\n", "made has no attribute 'model'"),
    ("import not_there_at_all\n", "its module needs not_there_at_all, which is not installed"),
    ("raise OSError('no weights\\nhere')\n", "OSError: no weights; it fails in its own"),
    ("def model():\n    raise KeyError('w')\n", "KeyError: 'w'; it fails in its own"),
    ("class model:\n    def __init__(self, width): pass\n", "the class model wants ['width']"),
    ("this is no Python\n", "SyntaxError: invalid syntax"),
    ("import sys\nsys.exit(7)\n", "ended with exit status 7"),
]


@pytest.mark.parametrize(("text", "told"), WRONG)
def test_what_a_module_does_wrong_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    model = module(tmp_path, monkeypatch, text)
    with pytest.raises(ConverterError) as refused:
        open_model(model, None, {}, tmp_path, lambda: None)
    assert str(refused.value).startswith("made:model: ")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        WRONG[0],
        ("import os\nos.abort()\n", "its framework crashed with signal 6"),
        ("bytearray(1 << 50)\n", "needs more memory than allowed; give more with --memory-limit"),
    ],
)
def test_the_command_tells_it_too_also_of_a_crash_and_of_greed(
    convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    line = convert.must_refuse(module(tmp_path, monkeypatch, text))
    assert line.startswith("edgewright convert: made:model: ")
    assert told in line


def test_a_module_that_is_not_there_is_told(
    convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = convert.must_refuse(Path("not_there.nets:model"))
    assert "there is no module not_there in the current folder" in told


def test_a_file_in_the_current_folder_does_not_pose_as_a_library_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "numpy", "msgspec", "tempfile"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('impostor')\n")
    model = module(tmp_path, monkeypatch, "import numpy\nmodel = numpy.pi\n")
    with pytest.raises(ConverterError, match="is an object of type float"):
        open_model(model, None, {}, tmp_path, lambda: None)


def test_what_the_module_prints_is_not_ours(
    convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import sys\nprint('loading')\nprint('careful', file=sys.stderr)\nmodel = 3\n"
    outcome = convert(module(tmp_path, monkeypatch, text))
    assert outcome.stdout == ""
    assert "careful" not in "".join(outcome.errors)


def test_a_signal_ends_the_modules_process_too(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "made.py").write_text(
        "import os, pathlib, signal\n"
        "pathlib.Path('pid.part').write_text(str(os.getpid()))\n"
        "os.rename('pid.part', 'pid')\n"
        "while True:\n    signal.pause()\n"
    )
    command = [sys.executable, "-c", MAIN, "convert", "made:model", "--out", "made.bundle"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(scratch)},
    ) as parent:
        _until((tmp_path / "pid").is_file)
        process = Path("/proc") / (tmp_path / "pid").read_text()
        assert process.is_dir()
        parent.send_signal(signal.SIGINT)
        assert parent.stderr is not None
        said = parent.stderr.read()
    assert parent.returncode == 130, said
    _until(lambda: not process.is_dir())
    assert "Traceback" not in said
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "made.bundle").exists()


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("net:Net", True),
        ("package.module:make.inner", True),
        ("net", False),
        ("folder/net:Net", False),
        ("net:Net.onnx/x", False),
        (":Net", False),
        ("net:", False),
    ],
)
def test_a_reference_is_a_module_and_an_attribute(text: str, wanted: bool) -> None:
    assert is_reference(Path(text)) is wanted


def test_a_file_with_a_colon_in_its_name_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net:Net").write_bytes(b"")
    assert not is_reference(Path("net:Net"))
    assert stem_of(Path("nets.small:Net")) == "Net"
    assert stem_of(Path("folder/m.onnx")) == "m"


def test_samples_that_are_no_file_are_told_before_anything_is_loaded(
    convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = module(tmp_path, monkeypatch, "raise SystemExit('loaded')\n")
    told = convert.must_refuse(model, "--evaluate", tmp_path / "none.npz")
    assert "none.npz: cannot be read" in told


def test_samples_of_a_reference_may_be_a_folder(
    convert: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "samples").mkdir()
    save_samples(tmp_path / "samples" / "a.npz", x=images(8), labels=np.zeros(8, np.int64))
    model = module(tmp_path, monkeypatch, "model = 3\n")
    told = convert.must_refuse(model, "--evaluate", tmp_path / "samples")
    assert "is an object of type int" in told
