"""Which outputs a request wants, and in which form: what both protocols say in parameters."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from edgewright_manifests.signature import ModelSignature, TensorSpec

from edgewright_runtime.engine.describing import names
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.inference.shared_memory import Place, read_place


class WantedOutput(NamedTuple):
    """One output; `classes` above 0 asks for that many of its highest values instead."""

    spec: TensorSpec
    is_binary: bool = False
    classes: int = 0
    place: Place | None = None
    """Where in shared memory it goes; then it is not in the answer."""


def find_output(signature: ModelSignature, name: str) -> TensorSpec:
    """The output of that name. Raises InvalidInput."""
    for spec in signature.outputs:
        if spec.name == name:
            return spec
    raise InvalidInput(f"the model has no output '{name}'; it gives {names(signature.outputs)}")


def read_wanted(spec: TensorSpec, parameters: Mapping[str, Any]) -> WantedOutput:
    """What a request's parameters (Any: as parsed) say of an output. Raises InvalidInput."""
    is_binary = parameters.get("binary_data") is True
    if len(parameters) == is_binary:
        return WantedOutput(spec, is_binary)  # as nearly every request has it
    classes = parameters.get("classification", 0)
    if type(classes) is not int or not 0 <= classes < 1 << 31:
        raise InvalidInput(f"output '{spec.name}': 'classification' must be a number of classes")
    place = read_place(parameters, f"output '{spec.name}'")
    if place is not None and classes:
        raise InvalidInput(
            f"output '{spec.name}' is asked for both in shared memory and as classes"
        )
    return WantedOutput(spec, is_binary, classes, place)
