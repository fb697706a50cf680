"""Operators register themselves; nothing is registered twice."""

import onnx
import pytest
from edgewright_converter.emit.registration import Registry, registrations_of
from edgewright_converter.emit.tflite.catalogue import registry
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.emit.tflite.registry import Registration, emits


def test_registering_an_operator_twice_is_an_error() -> None:
    @emits("Relu", (6, 13))
    def one(emission: Emission) -> None:
        del emission

    @emits("Relu", (13,))
    def other(emission: Emission) -> None:
        del emission

    with pytest.raises(ValueError, match="Relu of opset 13"):
        Registry([m for f in (one, other) for m in registrations_of(f, Registration)])


def test_only_forms_that_onnx_defines_are_registered() -> None:
    forms: dict[str, set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "":
            forms.setdefault(schema.name, set()).add(schema.since_version)
    for operator in registry().operators():
        assert set(registry().versions(operator)) <= forms[operator], operator


def test_the_newest_form_of_every_registered_operator_is_known() -> None:
    newest = {schema.name: schema.since_version for schema in onnx.defs.get_all_schemas()}
    retired = {"Upsample", "Scatter"}
    missing = {
        operator: newest[operator]
        for operator in registry().operators()
        if operator not in retired and registry().find(operator, newest[operator]) is None
    }
    assert missing == {}
