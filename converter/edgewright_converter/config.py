"""What the environment says; nothing else of the converter reads it."""

import os
from pathlib import Path


def default_cache_folder() -> Path:
    """`edgewright` in the user's cache folder, where the XDG base directory rules put it."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The rules say that a relative path is to be ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "edgewright"
