"""MODEL as a person gives it: a path, or `package.module:attribute`."""

import re
from pathlib import Path

_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def is_reference(model: Path) -> bool:
    """True for `package.module:attribute`; a file of that name is a file."""
    return _REFERENCE.fullmatch(str(model)) is not None and not model.exists()


def stem_of(model: Path) -> str:
    """What a bundle is called where nobody says: the attribute, or the file's stem."""
    # A bundle's name begins with a letter or digit.
    return str(model).rpartition(":")[2].lstrip("_") if is_reference(model) else model.stem
