"""ModelInfer: a request message to tensors, and which outputs in which form it wants."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgewright_manifests.signature import DataType, ModelSignature

from edgewright_runtime.engine.elements import pack_numbers
from edgewright_runtime.engine.raw_tensor import DATATYPES, Buffer, RawTensor
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.grpc import wire
from edgewright_runtime.serving.grpc.messages import Message, MessageClass
from edgewright_runtime.serving.grpc.wire import split_raw_contents
from edgewright_runtime.serving.inference.binary_tensors import read_binary_tensor
from edgewright_runtime.serving.inference.inputs import check_shape, read_shared
from edgewright_runtime.serving.inference.outputs import WantedOutput, find_output, read_wanted
from edgewright_runtime.serving.inference.shared_memory import SharedMemory
from edgewright_runtime.serving.request_options import PLAIN, RequestOptions, read_options

_SPLIT_BYTES = 16 << 10
"""From here on tensors are taken from the message where they lie, without protobuf's copies."""
_CONTENTS: Mapping[DataType, str] = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the protocol puts typed values; FP16 has no place and goes as raw contents."""
Parameters = Mapping[str, Any]  # Any: bool, int, str or float, as the caller chose


@dataclass(frozen=True, slots=True)
class Described:
    """All of a request but its tensors' bytes and its id: what many requests have in common."""

    model: str
    version: str | None
    options: RequestOptions
    parameters: Parameters
    outputs: Sequence[tuple[str, Parameters]]
    wanted: dict[int, tuple[ModelSignature, Sequence[WantedOutput]]] = field(
        default_factory=dict, repr=False
    )
    """`wanted_outputs` by signature, which is kept so that its id is not another's."""


@dataclass(slots=True)
class InferRequest:
    """What the caller wants."""

    described: Described
    id: str
    inputs: dict[str, RawTensor]


def read_message(
    data: Buffer, request_class: MessageClass
) -> tuple[Described, Message, Sequence[Buffer]]:
    """What the message in `data` says, the message, and its raw tensors. Raises InvalidInput."""
    raw: Sequence[Buffer]
    if len(data) < _SPLIT_BYTES:
        message = wire.parse(request_class, data)
        raw = message.raw_input_contents
    else:
        rest, raw = split_raw_contents(memoryview(data))
        message = wire.parse(request_class, rest)
    parameters = read_parameters(message)
    return (
        Described(
            message.model_name,
            message.model_version or None,
            read_options(parameters) if parameters else PLAIN,
            parameters,
            [(entry.name, read_parameters(entry)) for entry in message.outputs],
        ),
        message,
        raw,
    )


def read_inputs(
    message: Message, raw: Sequence[Buffer], memory: SharedMemory
) -> dict[str, RawTensor]:
    """The input tensors by name; those in shared memory are read. Raises InvalidInput,
    RegionUnknown."""
    inputs: dict[str, RawTensor] = {}
    used = 0
    for entry in message.inputs:
        name, datatype, shape = entry.name, entry.datatype, tuple(entry.shape)
        if name in inputs:
            raise InvalidInput(f"input '{name}' is given twice")
        if datatype not in DATATYPES:
            raise InvalidInput(f"input '{name}': datatype must be one of {', '.join(DATATYPES)}")
        check_shape(name, shape)
        parameters = read_parameters(entry) if entry.parameters else {}
        has_contents = entry.HasField("contents")
        if "shared_memory_region" in parameters:
            if has_contents:
                raise InvalidInput(f"input '{name}' is both in shared memory and in the request")
            inputs[name] = read_shared(name, datatype, shape, parameters, memory)
        elif not raw:
            inputs[name] = _read_contents(name, datatype, shape, entry)
        elif has_contents:
            raise InvalidInput(f"input '{name}' has contents beside raw_input_contents")
        else:
            if used >= len(raw):
                raise _unequal(len(raw))
            inputs[name] = read_binary_tensor(name, datatype, shape, memoryview(raw[used]))
            used += 1
    if used != len(raw):
        raise _unequal(len(raw))
    return inputs


def wanted_outputs(
    described: Described, signature: ModelSignature, memory: SharedMemory
) -> Sequence[WantedOutput]:
    """The outputs in the order asked for; all of them when none is.

    Raises InvalidInput, RegionUnknown.
    """
    kept = described.wanted.get(id(signature))
    if kept is not None:
        return kept[1]
    wanted: dict[str, WantedOutput] = {}
    for name, parameters in described.outputs:
        spec = find_output(signature, name)
        if name in wanted:
            raise InvalidInput(f"output '{name}' is asked for twice")
        wanted[name] = found = read_wanted(spec, parameters)
        if found.place is not None:
            memory.check(found.place)
    found_all = list(wanted.values()) or [WantedOutput(spec) for spec in signature.outputs]
    if all(each.place is None for each in found_all):
        described.wanted.clear()
        described.wanted[id(signature)] = (signature, found_all)
    return found_all


def read_parameters(entry: Message) -> Parameters:
    """The parameters of a request, input or output."""
    found: dict[str, Any] = {}
    for parameter in entry.parameters:
        choice = parameter.value.WhichOneof("parameter_choice")
        found[parameter.key] = None if choice is None else getattr(parameter.value, choice)
    return found


def _unequal(count: int) -> InvalidInput:
    return InvalidInput(
        f"there must be one raw_input_contents for each input that is in none else, not {count}"
    )


def _read_contents(
    name: str, datatype: DataType, shape: tuple[int, ...], entry: Message
) -> RawTensor:
    contents = _CONTENTS.get(datatype)
    if contents is None:
        raise InvalidInput(f"input '{name}': {datatype} goes in raw_input_contents")
    values = getattr(entry.contents, contents)
    if len(values) != math.prod(shape):
        raise InvalidInput(
            f"input '{name}' has {len(values)} values in {contents}, {datatype} {list(shape)} "
            f"needs {math.prod(shape)}"
        )
    if datatype == "BYTES":
        return RawTensor(datatype, shape, elements=list(values))
    try:
        return RawTensor(datatype, shape, pack_numbers(datatype, values))
    except OverflowError as error:
        raise InvalidInput(f"input '{name}' has values beyond {datatype}") from error
