"""The five pyproject.toml say the same versions, dependencies and commands."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "firmware_manifests": "edgewright_manifests",
    "runtime": "edgewright_runtime",
    "converter": "edgewright_converter",
    "fleet": "edgewright_fleet",
}


def pyproject(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def name_of(requirement: str) -> str:
    for mark in "[=<>~! ;":
        requirement = requirement.split(mark)[0]
    return requirement


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_the_projects_version_python_and_licence(part: str) -> None:
    root, own = pyproject(ROOT)["project"], pyproject(ROOT / part)["project"]
    for key in ("version", "requires-python", "license"):
        assert own[key] == root[key], key
    package = (ROOT / part / PARTS[part] / "__init__.py").read_text()
    assert f'__version__ = "{root["version"]}"' in package


@pytest.mark.parametrize("part", PARTS)
def test_parts_require_each_other_at_exactly_this_version(part: str) -> None:
    version = pyproject(ROOT)["project"]["version"]
    for requirement in pyproject(ROOT / part)["project"]["dependencies"]:
        if requirement.startswith("edgewright-"):
            assert requirement.endswith(f"=={version}")


def test_the_root_requires_the_union_of_the_parts() -> None:
    parts = {
        requirement
        for part in PARTS
        for requirement in pyproject(ROOT / part)["project"]["dependencies"]
        if not requirement.startswith("edgewright-")
    }
    assert set(pyproject(ROOT)["project"]["dependencies"]) == parts


def test_the_root_offers_the_union_of_the_parts_commands() -> None:
    commands: dict[str, str] = {}
    for part in PARTS:
        commands |= pyproject(ROOT / part)["project"]["entry-points"]["edgewright.commands"]
    assert pyproject(ROOT)["project"]["entry-points"]["edgewright.commands"] == commands


def imported_modules(package: Path) -> set[str]:
    """Top-level names imported anywhere in the package, also inside functions."""
    names: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_declares_every_distribution_that_it_imports(part: str) -> None:
    project = pyproject(ROOT / part)["project"]
    declared = {name_of(requirement).lower() for requirement in project["dependencies"]}
    for extra in project.get("optional-dependencies", {}).values():
        declared |= {name_of(requirement).lower() for requirement in extra}
    distributions = packages_distributions()
    missing = {}
    for module in imported_modules(ROOT / part / PARTS[part]) - {PARTS[part]}:
        owners = {name.lower() for name in distributions.get(module, [module])}
        if module in PARTS.values():
            owners = {module.replace("_", "-")}
        if not owners & declared:
            missing[module] = owners
    # Probed for on the device, never required: what a board's image may bring along.
    for found_on_the_board in ("tflite_runtime", "coremltools"):
        missing.pop(found_on_the_board, None)
    if "otel" in project.get("optional-dependencies", {}) and "opentelemetry" not in distributions:
        missing.pop("opentelemetry", None)  # one name of several distributions, installed or not
    assert missing == {}
