"""All operators that can be written: each file in `operators/` is found by itself."""

import importlib
import pkgutil
from functools import cache

from edgewright_converter.emit.tflite import operators
from edgewright_converter.emit.tflite.registry import Registry, collect


@cache
def registry() -> Registry:
    """The registry of the operator files."""
    names = [
        info.name for info in pkgutil.iter_modules(operators.__path__, operators.__name__ + ".")
    ]
    return collect(importlib.import_module(name) for name in sorted(names))
