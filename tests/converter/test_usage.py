import subprocess
import sys
from pathlib import Path

import pytest

from tests.converter.command import Convert
from tests.converter.networks import classifier


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--precision", "int8"], "--precision int8 needs samples; give --calibration"),
        (["--golden", "0"], "--golden 0: expected 1 to"),
        (["--max-accuracy-drop", "2"], "--max-accuracy-drop 2.0: expected 0 to 1"),
        (["--name", "../x"], "is no valid name"),
        (["--release-version", "a b"], "is no valid name"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    convert: Convert, tmp_path: Path, options: list[str], told: str
) -> None:
    model = classifier(tmp_path / "m.onnx")
    assert told in convert.must_refuse(model, *options, status=2)


def test_an_unknown_target_is_wrong_usage(convert: Convert, tmp_path: Path) -> None:
    assert convert(tmp_path / "m.onnx", "--target", "abacus").status == 2


def test_help_loads_none_of_the_heavy_libraries() -> None:
    program = (
        "import sys\n"
        "from edgewright_manifests.cli import main\n"
        "try:\n    main(['convert', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'onnx', 'numpy', 'onnxruntime', 'openvino', 'jinja2'} & set(sys.modules)\n"
        "sys.exit(','.join(heavy) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--calibration" in done.stdout


def test_a_bundle_that_is_there_is_replaced_only_with_force(
    convert: Convert, tmp_path: Path
) -> None:
    model = classifier(tmp_path / "m.onnx")
    assert convert(model, "--target", "onnx").status == 0
    index = (convert.out / "index.json").read_bytes()
    refused = convert(model, "--target", "onnx")
    assert refused.status == 1
    assert "exists already" in refused.errors[0]
    assert (convert.out / "index.json").read_bytes() == index
    assert convert(model, "--target", "onnx", "--force", "--release-version", "2").status == 0
    assert (convert.out / "index.json").read_bytes() != index


def test_a_folder_that_is_no_bundle_is_never_replaced(convert: Convert, tmp_path: Path) -> None:
    convert.out.mkdir()
    (convert.out / "thesis.txt").write_text("years of work")
    outcome = convert(classifier(tmp_path / "m.onnx"), "--target", "onnx", "--force")
    assert outcome.status == 1
    assert "is no bundle, so --force does not replace it" in outcome.errors[0]
    assert (convert.out / "thesis.txt").read_text() == "years of work"
