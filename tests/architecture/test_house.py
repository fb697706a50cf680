"""Rules of the house that no linter knows."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [
    ROOT / "firmware_manifests/edgewright_manifests",
    ROOT / "runtime/edgewright_runtime",
    ROOT / "converter/edgewright_converter",
    ROOT / "fleet/edgewright_fleet",
]
MODULES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))


def test_no_module_is_longer_than_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in MODULES
        if (count := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


@pytest.mark.parametrize("vague", ["utils", "helpers", "common", "base", "misc"])
def test_every_module_has_a_noun(vague: str) -> None:
    assert [path for path in MODULES if vague in (path.stem, path.parent.name)] == []


def test_only_config_modules_read_the_environment() -> None:
    readers = {
        str(path.relative_to(ROOT))
        for path in MODULES
        if "os.environ" in (text := path.read_text()) or "getenv" in text
    }
    allowed = {name for name in readers if name.endswith("config.py")}
    assert readers - allowed == set()
