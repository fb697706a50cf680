"""Subcommands are found by entry points, and only the wanted one is imported."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from edgewright_manifests.installed_commands import GROUP, installed_commands
from edgewright_runtime.commands import COMMANDS


def test_the_files_say_what_importlib_metadata_says() -> None:
    wanted = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    assert installed_commands() == wanted
    assert "runtime" in wanted


def test_a_distribution_elsewhere_on_the_path_is_found_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "edgewright_extra-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text(
        "# a comment\n[console_scripts]\nx = y:z\n\n[edgewright.commands]\nextra = some.module\n"
        "runtime = not.the.first\n[other]\na = b\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    found = installed_commands()
    assert found["extra"] == "some.module"
    assert found["runtime"] == "edgewright_runtime.commands"
    assert "x" not in found
    assert "a" not in found


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_nested_command_is_loaded_by_its_name(name: str) -> None:
    main = "from edgewright_manifests.cli import main; main()"
    words = [sys.executable, "-c", main, "runtime", name, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert f"edgewright runtime {name} [-h]" in done.stdout


def test_serving_imports_neither_numpy_nor_its_sister_commands() -> None:
    code = (
        "import sys; import edgewright_runtime.commands, edgewright_runtime.serve_command\n"
        "print([name for name in ('numpy', 'onnxruntime', 'importlib.metadata', 'http.client',"
        " 'edgewright_runtime.bench_command', 'tuf', 'cryptography') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
