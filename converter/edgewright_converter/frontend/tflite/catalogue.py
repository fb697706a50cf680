"""All operators that can be read: those of the files in `operators/`."""

from functools import cache

from edgewright_converter.emit.registration import Registry, collect
from edgewright_converter.frontend.tflite import operators
from edgewright_converter.frontend.tflite.registry import Registration


@cache
def registry() -> Registry[Registration]:
    """The registry of the operator files."""
    return collect(operators, Registration)
