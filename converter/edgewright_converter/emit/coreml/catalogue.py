"""All operators that can be written: those of the files in `operators/`."""

from functools import cache

from edgewright_converter.emit.coreml import operators
from edgewright_converter.emit.coreml.registry import Registration
from edgewright_converter.emit.registration import Registry, collect


@cache
def registry() -> Registry[Registration]:
    """The registry of the operator files."""
    return collect(operators, Registration)
