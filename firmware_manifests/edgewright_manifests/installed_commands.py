"""Finds the subcommands that the installed distributions offer, without importlib.metadata.

`importlib.metadata` parses every installed package's metadata with the standard library's
mail parser: 5 MB and 20 to 50 ms that a server on a small board would pay at each start. What
it reads of entry points is one small text file per distribution (packaging.python.org, "Entry
points specification").
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

GROUP = "edgewright.commands"


def installed_commands() -> Mapping[str, str]:
    """Name to module of every subcommand; of two by one name the first on sys.path counts."""
    found: dict[str, str] = {}
    for file in _entry_point_files():
        for name, module in _read(file):
            found.setdefault(name, module)
    return found


def _entry_point_files() -> Iterator[Path]:
    for entry in sys.path:
        folder = Path(entry or ".")
        if folder.is_dir():
            for kind in ("dist-info", "egg-info"):
                yield from sorted(folder.glob(f"edgewright*.{kind}/entry_points.txt"))


def _read(file: Path) -> Iterator[tuple[str, str]]:
    section = ""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return  # uninstalled while we looked
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and "=" in line and not line.startswith("#"):
            name, _, module = line.partition("=")
            yield name.strip(), module.partition(":")[0].strip()
