"""The files of operations, each found by itself."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from edgewright_converter.measure.mil_evaluator import operations
from edgewright_converter.measure.mil_evaluator.registry import Computation


@cache
def computations() -> dict[str, Computation]:
    """The function of every known operation."""
    found: dict[str, Computation] = {}
    for info in pkgutil.iter_modules(operations.__path__, operations.__name__ + "."):
        for value in vars(importlib.import_module(info.name)).values():
            for kind in getattr(value, "kinds", ()):
                found[kind] = value
    return found
