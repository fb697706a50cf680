"""Triton's generate extension: a flat JSON object in, a flat JSON object out.

A member with the name of an input is its tensor: a number, a string, a boolean or a flat list of
them. All others are the request's parameters, as is what `parameters` holds.
"""

import math
from collections.abc import Mapping
from typing import Any

import orjson
from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import InvalidInput
from edgewright_runtime.serving.http.infer import InferRequest, parse_document
from edgewright_runtime.serving.http.json_tensors import read_json_tensor, write_json_tensor
from edgewright_runtime.serving.http.messages import JSON, Reply
from edgewright_runtime.serving.inference.outputs import WantedOutput
from edgewright_runtime.serving.request_options import OPTIONS, read_options

EVENTS = b"text/event-stream; charset=utf-8"


def parse_generate(
    body: bytes, header_length: bytes | None, signature: ModelSignature
) -> InferRequest:
    """Parse a request's body, which has no binary part. Raises InvalidInput."""
    if header_length is not None:
        raise InvalidInput("generate takes JSON alone, without Inference-Header-Content-Length")
    document = parse_document(body)
    identifier = document.get("id")
    if identifier is not None and not isinstance(identifier, str):
        raise InvalidInput("'id' must be a string")
    inputs = {
        spec.name: _read(spec, document[spec.name])
        for spec in signature.inputs
        if spec.name in document
    }
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidInput("'parameters' must be an object")
    said = {word: document[word] for word in OPTIONS if word in document and word not in inputs}
    wanted = [WantedOutput(spec) for spec in signature.outputs]
    return InferRequest(inputs, identifier, wanted, read_options({**said, **parameters}))


def write_generate(
    is_stream: bool,
    request: InferRequest,
    outputs: Mapping[str, RawTensor],
    model: str,
    version: str,
) -> Reply:
    """The answer, or the only event of a stream. Raises InvalidInput."""
    document: dict[str, Any] = {"model_name": model, "model_version": version}  # Any: JSON
    if request.id is not None:
        document["id"] = request.id
    for wanted in request.outputs:
        spec = wanted.spec
        values = write_json_tensor(spec.name, outputs[spec.name])
        document[spec.name] = values if len(values) != 1 else values[0]
    text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if is_stream:
        return Reply(200, EVENTS, (b"data: ", text, b"\n\n"))
    return Reply(200, JSON, (text,))


def _read(spec: TensorSpec, value: Any) -> RawTensor:
    """As Triton maps lists to tensors: the last free dimension takes what the others leave."""
    data = value if isinstance(value, list) else [value]
    shape = [1 if size == DYNAMIC else size for size in spec.shape]
    free = [at for at, size in enumerate(spec.shape) if size == DYNAMIC]
    if free:
        known = math.prod(shape)
        shape[free[-1]] = len(data) // known if known else 0
    return read_json_tensor(spec.name, spec.datatype, tuple(shape), data)
