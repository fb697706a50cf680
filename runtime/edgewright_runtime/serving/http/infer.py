"""The body of an inference request to tensors, and outputs to the body of the answer."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from edgewright_manifests.signature import DYNAMIC, DataType, ModelSignature

from edgewright_runtime.engine.raw_tensor import DATATYPES, ELEMENT_BYTES, Buffer, RawTensor
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.http.json_tensors import read_json_tensor, write_json_tensor
from edgewright_runtime.serving.http.known_heads import KnownHead, KnownHeads
from edgewright_runtime.serving.http.large_json import LARGE_BYTES, parse_large
from edgewright_runtime.serving.http.messages import JSON, OCTETS, Reply
from edgewright_runtime.serving.inference.binary_tensors import (
    read_binary_tensor,
    write_binary_tensor,
)
from edgewright_runtime.serving.inference.classification import classify
from edgewright_runtime.serving.inference.inputs import check_shape, no_shape, read_shared
from edgewright_runtime.serving.inference.outputs import WantedOutput, find_output, read_wanted
from edgewright_runtime.serving.inference.shared_memory import SharedMemory
from edgewright_runtime.serving.request_options import PLAIN, RequestOptions, read_options

# Any: parsed JSON of unknown shape, which this module checks.
Parameters = Mapping[str, Any]


@dataclass(slots=True)  # not frozen, which costs a microsecond for each
class InferRequest:
    """What the caller wants: tensors in, and which outputs in which form."""

    inputs: Mapping[str, RawTensor]
    id: str | None
    outputs: Sequence[WantedOutput]
    options: RequestOptions = PLAIN
    known: KnownHead | None = None
    """What is kept of it for requests with the same head."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What requests are read with: registered memory, and the heads of earlier ones."""

    memory: SharedMemory
    heads: KnownHeads


def parse_infer(
    surroundings: Surroundings,
    body: bytes,
    header_length: bytes | None,
    signature: ModelSignature,
) -> InferRequest:
    """Parse a request's body; `header_length` is the header Inference-Header-Content-Length.

    Inputs that the request says are in shared memory are read from there.

    Raises InvalidInput for anything that is no request of this protocol for this model, and
    RegionUnknown.
    """
    view = memoryview(body)
    if header_length is None:
        document, binary = parse_document(body), view[:0]
    else:
        size = _size(header_length, len(body))
        if size == 0:
            return _raw_request(view, signature)
        known = surroundings.heads.find(body, size, signature)
        if known is not None:
            return InferRequest(known.read(view, size), None, known.outputs, known.options, known)
        document, binary = parse_document(view[:size]), view[size:]
    parameters = _parameters(document, "the request")
    identifier = document.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise InvalidInput("'id' must be a string")
    is_binary = parameters.get("binary_data_output") is True
    memory = surroundings.memory
    inputs, sizes = _read_inputs(document.get("inputs"), binary, memory)
    wanted = _wanted(document.get("outputs"), signature, memory, is_binary=is_binary)
    options = read_options(parameters)
    made = InferRequest(inputs, identifier, wanted, options)
    if identifier is None and len(sizes) == len(inputs):
        placed = {name: (tensor, sizes[name]) for name, tensor in inputs.items()}
        made.known = surroundings.heads.keep(
            body[: len(body) - len(binary)], signature, placed, wanted, options
        )
    return made


def write_infer(
    surroundings: Surroundings,
    request: InferRequest,
    outputs: Mapping[str, RawTensor],
    model: str,
    version: str,
) -> Reply:
    """The answer with the outputs that the request asked for. Raises InvalidInput."""
    key: object = None
    if request.known is not None:
        key = model, version, *[outputs[wanted.spec.name].shape for wanted in request.outputs]
        kept = request.known.answers.get(key)
        if kept is not None:
            parts = [write_binary_tensor(outputs[wanted.spec.name]) for wanted in request.outputs]
            return Reply(200, OCTETS, (kept[0], *parts), kept[1])
    memory = surroundings.memory
    binary: list[Buffer] = []
    described = []
    for spec, is_binary, classes, place in request.outputs:
        tensor = outputs[spec.name]
        if classes:
            tensor = classify(spec.name, tensor, classes)
        entry: dict[str, Any] = {
            "name": spec.name,
            "datatype": tensor.datatype,
            "shape": tensor.shape,
        }
        if place is not None:
            memory.write(place, write_binary_tensor(tensor))
        elif is_binary:
            data = write_binary_tensor(tensor)
            entry["parameters"] = {"binary_data_size": len(data)}
            binary.append(data)
        else:
            entry["data"] = write_json_tensor(spec.name, tensor)
        described.append(entry)
    document: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        document["id"] = request.id
    document["outputs"] = described
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not binary:
        return Reply(200, JSON, (head,))
    length = b"Inference-Header-Content-Length: %d\r\n" % len(head)
    if request.known is not None and all(map(_is_repeated, request.outputs)):
        request.known.keep_answer(key, head, length)
    return Reply(200, OCTETS, (head, *binary), length)


def _is_repeated(wanted: WantedOutput) -> bool:
    """Whether the answer's head says the same of it whenever its shape is the same."""
    return wanted.is_binary and not wanted.classes and wanted.spec.datatype != "BYTES"


def parse_document(data: Buffer) -> dict[str, Any]:
    """A JSON object. Raises InvalidInput."""
    if len(data) >= LARGE_BYTES:
        large = parse_large(data)
        if large is not None:
            return large
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the request is no valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput("the request must be a JSON object")
    return document


def _size(header: bytes, body_length: int) -> int:
    text = header.strip()
    if not text.isdigit() or len(text) > 18 or int(text) > body_length:
        raise InvalidInput(
            "Inference-Header-Content-Length must be a number of bytes within the body's "
            f"{body_length}"
        )
    return int(text)


def _raw_request(data: memoryview, signature: ModelSignature) -> InferRequest:
    """The whole body is the only input's data (a Triton extension): its shape is deduced."""
    if len(signature.inputs) != 1:
        raise InvalidInput("a raw binary request needs a model with one input")
    spec = signature.inputs[0]
    shape = list(spec.shape)
    if spec.datatype == "BYTES" or shape.count(DYNAMIC) > 1:
        raise InvalidInput(f"a raw binary request cannot tell the shape of '{spec.name}'")
    if DYNAMIC in shape:
        known = math.prod(size for size in shape if size != DYNAMIC)
        known *= ELEMENT_BYTES[spec.datatype]
        shape[shape.index(DYNAMIC)] = len(data) // known if known else 0
    tensor = read_binary_tensor(spec.name, spec.datatype, tuple(shape), data)
    wanted = [WantedOutput(output, True) for output in signature.outputs]
    return InferRequest({spec.name: tensor}, None, wanted)


def _read_inputs(
    described: Any, binary: memoryview, memory: SharedMemory
) -> tuple[dict[str, RawTensor], dict[str, int]]:
    """The tensors by name, and the bytes of those that are binary."""
    if not isinstance(described, list) or not described:
        raise InvalidInput("'inputs' must be an array with one object per input")
    inputs: dict[str, RawTensor] = {}
    sizes: dict[str, int] = {}
    position = 0
    for entry in described:
        name = _name(entry, "an input")
        if name in inputs:
            raise InvalidInput(f"input '{name}' is given twice")
        datatype, shape = _datatype(name, entry), _shape(name, entry)
        parameters = _parameters(entry, f"input '{name}'")
        size = parameters.get("binary_data_size")
        if "shared_memory_region" in parameters:
            if size is not None or "data" in entry:
                raise InvalidInput(f"input '{name}' is both in shared memory and in the request")
            inputs[name] = read_shared(name, datatype, shape, parameters, memory)
            continue
        if size is None:
            if "data" not in entry:
                raise InvalidInput(
                    f"input '{name}' has neither data nor binary_data_size nor a place in "
                    "shared memory"
                )
            inputs[name] = read_json_tensor(name, datatype, shape, entry["data"])
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - position:
            raise InvalidInput(
                f"input '{name}': binary_data_size goes beyond the {len(binary)} bytes of "
                "binary data"
            )
        part = binary[position : position + size]
        inputs[name] = read_binary_tensor(name, datatype, shape, part)
        sizes[name] = size
        position += size
    if position != len(binary):
        raise InvalidInput(f"{len(binary) - position} bytes of binary data belong to no input")
    return inputs, sizes


def _name(entry: Any, what: str) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise InvalidInput(f"{what} must be an object with a 'name'")
    return cast(str, entry["name"])


def _datatype(name: str, entry: Mapping[str, Any]) -> DataType:
    datatype = entry.get("datatype")
    if not isinstance(datatype, str) or datatype not in DATATYPES:
        raise InvalidInput(f"input '{name}': datatype must be one of {', '.join(DATATYPES)}")
    return datatype


def _shape(name: str, entry: Mapping[str, Any]) -> tuple[int, ...]:
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise no_shape(name)
    check_shape(name, shape)
    return tuple(shape)


def _parameters(entry: Mapping[str, Any], what: str) -> Parameters:
    parameters = entry.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidInput(f"{what}: 'parameters' must be an object")
    return parameters


def _wanted(
    described: Any, signature: ModelSignature, memory: SharedMemory, *, is_binary: bool
) -> Sequence[WantedOutput]:
    if not described:
        if described not in (None, []):
            raise InvalidInput("'outputs' must be an array with one object per output")
        return [WantedOutput(spec, is_binary) for spec in signature.outputs]
    if not isinstance(described, list):
        raise InvalidInput("'outputs' must be an array with one object per output")
    wanted: dict[str, WantedOutput] = {}
    for entry in described:
        name = _name(entry, "an output")
        spec = find_output(signature, name)
        if name in wanted:
            raise InvalidInput(f"output '{name}' is asked for twice")
        # As Triton has it, `binary_data_output` is for requests that name no outputs.
        wanted[name] = found = read_wanted(spec, _parameters(entry, f"output '{name}'"))
        if found.place is not None:
            memory.check(found.place)
    return list(wanted.values())
