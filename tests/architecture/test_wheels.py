"""What a machine gets when it installs only the parts that it needs."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "firmware_manifests": "edgewright_manifests",
    "runtime": "edgewright_runtime",
    "converter": "edgewright_converter",
    "fleet": "edgewright_fleet",
}


def run(*command: str | Path, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The four wheels, built from copies so that nothing is written into the checkout."""
    house = tmp_path_factory.mktemp("wheelhouse")
    for part in PARTS:
        source = tmp_path_factory.mktemp("source") / part
        shutil.copytree(ROOT / part, source, ignore=shutil.ignore_patterns("__pycache__"))
        run(
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
            "--no-build-isolation", "--wheel-dir", house, source, cwd=house,
        )  # fmt: skip  # one command line reads best in one piece
    return house


def test_a_device_gets_a_working_runtime_and_nothing_of_converter_or_fleet(
    wheelhouse: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "device", with_pip=True)
    python = tmp_path / "device/bin/python"
    run(
        python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--constraint", ROOT / "constraints.txt", "--find-links", wheelhouse,
        "edgewright-runtime", cwd=tmp_path,
    )  # fmt: skip  # as above
    edgewright = tmp_path / "device/bin/edgewright"
    assert "runtime" in run(edgewright, "--help", cwd=tmp_path)
    assert "serve" in run(edgewright, "runtime", "--help", cwd=tmp_path)
    doctor = run(edgewright, "runtime", "doctor", "--json", cwd=tmp_path)
    assert "onnx" in doctor
    listed = run(python, "-m", "pip", "list", "--format=freeze", cwd=tmp_path)
    installed = {line.split("==")[0].lower() for line in listed.splitlines()}
    assert not installed & {"onnx", "nncf", "aiohttp", "sqlalchemy", "edgewright-converter"}


@pytest.mark.parametrize("part", PARTS)
def test_a_parts_wheel_works_with_only_the_wheels_that_it_requires(
    part: str, wheelhouse: Path, tmp_path: Path
) -> None:
    needs = {
        "firmware_manifests": [],
        "runtime": ["firmware_manifests"],
        "converter": ["firmware_manifests", "runtime"],
        "fleet": ["firmware_manifests"],
    }[part]
    for name in [part, *needs]:
        (wheel,) = wheelhouse.glob(f"{PARTS[name]}-*.whl")
        shutil.unpack_archive(wheel, tmp_path, "zip")
    site = next(path for path in sys.path if path.endswith("site-packages"))
    extras = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"].get(
        "optional-dependencies", {}
    )
    optional = {Requirement(line).name for lines in extras.values() for line in lines}
    # PYTHONPATH entries are searched, but their .pth files (the editable install) are not read.
    program = f"""
import importlib, pkgutil, sys
sys.path[:0] = [{str(tmp_path)!r}, {site!r}]
import {PARTS[part]} as package
assert package.__file__.startswith({str(tmp_path)!r}), package.__file__
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    # Alembic runs its scripts itself, in a context of its own.
    if module.name.endswith("__main__") or ".migrations." in module.name:
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        # What an extra brings may be absent; only modules that need it may then fail.
        if error.name.partition(".")[0] not in {optional!r}:
            raise
"""
    base = Path(sys.base_prefix) / "bin/python3"
    run(base, "-I", "-c", program, cwd=tmp_path)
