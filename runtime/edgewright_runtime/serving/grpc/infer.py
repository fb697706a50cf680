"""ModelInfer: a request message to tensors, and outputs to a response message."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from edgewright_manifests.signature import DataType, ModelSignature, TensorSpec

from edgewright_runtime.engine.describing import names
from edgewright_runtime.engine.elements import pack_numbers
from edgewright_runtime.engine.raw_tensor import DATATYPES, Buffer, RawTensor
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.grpc import wire
from edgewright_runtime.serving.grpc.messages import Message, MessageClass
from edgewright_runtime.serving.grpc.wire import bytes_field, split_raw_contents
from edgewright_runtime.serving.inference.binary_tensors import (
    read_binary_tensor,
    write_binary_tensor,
)

_MAX_RANK = 32
_MAX_COUNT = 1 << 40
_SPLIT_BYTES = 16 << 10
"""From here on tensors are taken from the message where they lie, without protobuf's copies."""
_NOT_OFFERED = frozenset({"classification", "shared_memory_region"})
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
_RESPONSE_ID = 3
_RESPONSE_RAW = 6
_HEADS_KEPT = 256


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What the caller wants."""

    model: str
    version: str | None
    id: str
    message: Message
    raw: Sequence[Buffer]


def read_request(data: Buffer, request_class: MessageClass) -> InferRequest:
    """The message in `data`, whose large tensors stay there. Raises InvalidInput."""
    raw: Sequence[Buffer]
    if len(data) < _SPLIT_BYTES:
        message = wire.parse(request_class, data)
        raw = message.raw_input_contents
    else:
        rest, raw = split_raw_contents(memoryview(data))
        message = wire.parse(request_class, rest)
    return InferRequest(message.model_name, message.model_version or None, message.id, message, raw)


def read_inputs(request: InferRequest) -> dict[str, RawTensor]:
    """The input tensors by name. Raises InvalidInput."""
    described, raw = request.message.inputs, request.raw
    if raw and len(raw) != len(described):
        raise InvalidInput(
            f"{len(raw)} raw_input_contents for {len(described)} inputs; there must be one each"
        )
    inputs: dict[str, RawTensor] = {}
    for index, entry in enumerate(described):
        name, datatype, shape = entry.name, entry.datatype, tuple(entry.shape)
        if name in inputs:
            raise InvalidInput(f"input '{name}' is given twice")
        if datatype not in DATATYPES:
            raise InvalidInput(f"input '{name}': datatype must be one of {', '.join(DATATYPES)}")
        _check_shape(name, shape)
        if entry.parameters:
            parameters(entry, f"input '{name}'")
        if not raw:
            inputs[name] = _read_contents(name, datatype, shape, entry)
        elif entry.HasField("contents"):
            raise InvalidInput(f"input '{name}' has contents beside raw_input_contents")
        else:
            inputs[name] = read_binary_tensor(name, datatype, shape, memoryview(raw[index]))
    return inputs


def wanted_outputs(request: InferRequest, signature: ModelSignature) -> Sequence[TensorSpec]:
    """The outputs in the order asked for; all of them when none is. Raises InvalidInput."""
    if not request.message.outputs:
        return signature.outputs
    wanted: list[TensorSpec] = []
    for entry in request.message.outputs:
        name = entry.name
        spec = next((spec for spec in signature.outputs if spec.name == name), None)
        if spec is None:
            raise InvalidInput(
                f"the model has no output '{name}'; it gives {names(signature.outputs)}"
            )
        if spec in wanted:
            raise InvalidInput(f"output '{name}' is asked for twice")
        parameters(entry, f"output '{name}'")
        wanted.append(spec)
    return wanted


def timeout_s(request: InferRequest) -> float | None:
    """Triton's request parameter `timeout`, in microseconds. Raises InvalidInput."""
    if not request.message.parameters:
        return None
    timeout_us = parameters(request.message, "the request").get("timeout")
    if timeout_us is None:
        return None
    if type(timeout_us) is not int or timeout_us < 0:
        raise InvalidInput("parameter 'timeout' must be a number of microseconds")
    return timeout_us / 1e6 if timeout_us else None


def parameters(entry: Message, what: str) -> dict[str, Any]:
    """The parameters of a request, input or output. Raises InvalidInput."""
    found: dict[str, Any] = {}  # Any: bool, int, str or float, as the caller chose
    for parameter in entry.parameters:
        choice = parameter.value.WhichOneof("parameter_choice")
        found[parameter.key] = None if choice is None else getattr(parameter.value, choice)
    for word in _NOT_OFFERED:
        if found.get(word):
            raise InvalidInput(f"{what}: this server does not offer '{word}'")
    return found


class ResponseWriter:
    """Response messages; all but id and tensors repeats, and so is kept."""

    def __init__(self, response_class: MessageClass) -> None:
        self._response_class = response_class
        self._heads: dict[object, bytes] = {}

    def write(
        self,
        request: InferRequest,
        wanted: Sequence[TensorSpec],
        outputs: Mapping[str, RawTensor],
        *,
        version: str,
    ) -> list[Buffer]:
        """The message in pieces, which are not copied."""
        key = (request.model, version, *[(spec.name, outputs[spec.name].shape) for spec in wanted])
        head = self._heads.get(key)
        if head is None:
            head = self._head(request.model, version, wanted, outputs)
            if len(self._heads) >= _HEADS_KEPT:
                self._heads.clear()
            self._heads[key] = head
        parts: list[Buffer] = [head]
        if request.id:
            identifier = request.id.encode("utf-8")
            parts += (bytes_field(_RESPONSE_ID, len(identifier)), identifier)
        for spec in wanted:
            data = write_binary_tensor(outputs[spec.name])
            parts += (bytes_field(_RESPONSE_RAW, len(data)), data)
        return parts

    def _head(
        self,
        model: str,
        version: str,
        wanted: Sequence[TensorSpec],
        outputs: Mapping[str, RawTensor],
    ) -> bytes:
        message = self._response_class(
            model_name=model,
            model_version=version,
            outputs=[
                {"name": spec.name, "datatype": spec.datatype, "shape": outputs[spec.name].shape}
                for spec in wanted
            ],
        )
        return cast(bytes, message.SerializeToString())


def _check_shape(name: str, shape: tuple[int, ...]) -> None:
    if (
        len(shape) > _MAX_RANK
        or any(not 0 <= size <= _MAX_COUNT for size in shape)
        or math.prod(shape) > _MAX_COUNT
    ):
        raise InvalidInput(f"input '{name}': shape must be an array of sizes")


def _read_contents(
    name: str, datatype: DataType, shape: tuple[int, ...], entry: Message
) -> RawTensor:
    field = _CONTENTS.get(datatype)
    if field is None:
        raise InvalidInput(f"input '{name}': {datatype} goes in raw_input_contents")
    values = getattr(entry.contents, field)
    if len(values) != math.prod(shape):
        raise InvalidInput(
            f"input '{name}' has {len(values)} values in {field}, {datatype} {list(shape)} needs "
            f"{math.prod(shape)}"
        )
    if datatype == "BYTES":
        return RawTensor(datatype, shape, elements=list(values))
    try:
        return RawTensor(datatype, shape, pack_numbers(datatype, values))
    except OverflowError as error:
        raise InvalidInput(f"input '{name}' has values beyond {datatype}") from error
