"""Outputs that come back as inputs: what callers see of such a model, and what it is given."""

from collections.abc import Mapping

from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec

from edgewright_runtime.engine.raw_tensor import RawTensor, example_raw_inputs
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.model_settings import SequenceSettings, StateTensor

Tensors = Mapping[str, RawTensor]


def with_states(
    settings: SequenceSettings, whole: ModelSignature, inputs: Tensors, states: Tensors | None
) -> dict[str, RawTensor]:
    """The request's inputs and its sequence's states, zeros where there are none yet.

    `whole` is the signature with the states. Raises InvalidInput when the request brings states
    of its own, or a release came in between that takes other ones.
    """
    specs = {spec.name: spec for spec in whole.inputs}
    if states is None:
        states = {state.input: _zeros(state, specs[state.input]) for state in settings.states}
    for name, tensor in states.items():
        if name in inputs:
            raise InvalidInput(f"input '{name}' is a state: the server carries it over itself")
        spec = specs.get(name)
        if spec is None or spec.datatype != tensor.datatype or not spec.accepts(tensor.shape):
            raise InvalidInput(
                f"the sequence began with another release of the model, whose state '{name}' is "
                f"{tensor.datatype} {list(tensor.shape)}; start it again"
            )
    return {**inputs, **states}


def carried(settings: SequenceSettings, outputs: Tensors) -> dict[str, RawTensor]:
    """The states for the next request, by the input's name."""
    return {state.input: outputs[state.output] for state in settings.states}


def _zeros(state: StateTensor, spec: TensorSpec) -> RawTensor:
    """What a sequence begins with."""
    shape = state.shape
    if shape is None:
        shape = tuple(1 if size == DYNAMIC else size for size in spec.shape)
    sized = TensorSpec(spec.name, spec.datatype, shape)
    return example_raw_inputs(ModelSignature((sized,), ()))[spec.name]


def visible(signature: ModelSignature, settings: SequenceSettings | None) -> ModelSignature:
    """What callers see of a model: its states are the server's own.

    Raises InvalidInput when the settings name states that the model does not have.
    """
    if settings is None:
        return signature
    inputs = {spec.name: spec for spec in signature.inputs}
    outputs = {spec.name: spec for spec in signature.outputs}
    for state in settings.states:
        source, sink = outputs.get(state.output), inputs.get(state.input)
        if source is None or sink is None or source.datatype != sink.datatype:
            raise InvalidInput(
                f"the settings carry output '{state.output}' over to input '{state.input}', but "
                f"the model gives {', '.join(outputs)} and takes {', '.join(inputs)}, of one type "
                "each; correct [models.NAME.sequence]"
            )
        if state.shape is not None and not sink.accepts(state.shape):
            raise InvalidInput(
                f"state '{state.input}' cannot begin with shape {list(state.shape)}: the model "
                f"takes {list(sink.shape)}"
            )
    taken = {state.input for state in settings.states}
    given = {state.output for state in settings.states}
    return ModelSignature(
        inputs=tuple(spec for spec in signature.inputs if spec.name not in taken),
        outputs=tuple(spec for spec in signature.outputs if spec.name not in given),
    )
