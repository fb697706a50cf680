"""Core ML where there is none: the refusal, and what is done before Core ML is asked."""

import sys
import zipfile
from pathlib import Path

import pytest
from edgewright_runtime.engine import open_session
from edgewright_runtime.engine.availability import available_targets
from edgewright_runtime.engine.backends.coreml import unpack_package
from edgewright_runtime.errors import BackendUnavailable, ModelRejected


def package(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return path


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML is there")
def test_elsewhere_it_is_refused_by_name(tmp_path: Path) -> None:
    path = package(tmp_path / "model.mlpackage.zip", ["model.mlpackage/Manifest.json"])
    with pytest.raises(BackendUnavailable, match="Core ML runs on macOS only"):
        open_session("coreml", path)
    assert available_targets()["coreml"] == "Core ML runs on macOS only"


def test_a_package_is_unpacked_into_its_folder(tmp_path: Path) -> None:
    path = package(tmp_path / "m.zip", ["model.mlpackage/Manifest.json", "model.mlpackage/a/b"])
    unpack_package(path, tmp_path / "out")
    assert (tmp_path / "out" / "model.mlpackage" / "a" / "b").read_bytes() == b"content"


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/x", "other/y", "model.mlpackage/../../outside"]
)
def test_a_file_outside_the_package_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelRejected, match="which is no part of it"):
        unpack_package(package(tmp_path / "m.zip", [name]), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.zip"]


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ModelRejected, match=r"is no .mlpackage.zip"):
        unpack_package(tmp_path / "m.zip", tmp_path / "out")
