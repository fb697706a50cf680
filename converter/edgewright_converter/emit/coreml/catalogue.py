"""The operator files, each found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from edgewright_converter.emit.coreml import operators
from edgewright_converter.emit.coreml.registry import Registry, collect


@cache
def registry() -> Registry:
    """The registry of everything that the files in `operators/` write."""
    names = [
        info.name for info in pkgutil.iter_modules(operators.__path__, operators.__name__ + ".")
    ]
    return collect(importlib.import_module(name) for name in sorted(names))
