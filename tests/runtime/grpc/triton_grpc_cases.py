"""What is asked of a real Triton and of this server over gRPC, in the same words.

A case is a few calls in order, on the models of `triton_requests`. Messages are written with
tritonclient's own classes, so that they are what clients send.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.runtime.serving.triton_requests import F8, TYPES, VALUES

Message = Any  # tritonclient ships no types


@dataclass(frozen=True)
class Call:
    """One call: its messages (one, but of a stream), and metadata."""

    method: str
    messages: Sequence[Message]
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """`memory` is what lies under /dev/shm before the first call."""

    name: str
    calls: Sequence[Call]
    memory: Mapping[str, bytes] = field(default_factory=dict)


def _pb() -> Any:
    from tritonclient.grpc import service_pb2

    return service_pb2


def call(method: str, **fields: Any) -> Call:
    return Call(method, [getattr(_pb(), f"{method}Request")(**fields)])


def tensor(name: str, datatype: str, shape: Sequence[int], **rest: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), **rest}


def request(model: str, inputs: Sequence[Any], raw: Sequence[bytes] = (), **rest: Any) -> Message:
    return _pb().ModelInferRequest(model_name=model, inputs=inputs, raw_input_contents=raw, **rest)


def infer(name: str, *requests: Message) -> Case:
    return Case(name, [Call("ModelInfer", [one]) for one in requests])


def stream(name: str, *requests: Message, **metadata: str) -> Case:
    return Case(name, [Call("ModelStreamInfer", requests, metadata)])


A, B = tensor("a", "FP32", [1, 4]), tensor("b", "FP32", [1, 4])
FOUR = np.arange(4, dtype=np.float32).tobytes()
SCORES = np.array([[1, 5, 2, 4, 3], [0, 0, 9, 0, 0]], np.float32).tobytes()


def pair(**rest: Any) -> Message:
    return request("pair", [A, B], [FOUR, FOUR], **rest)


def chosen(**parameters: Any) -> dict[str, Any]:
    """Parameters as InferParameter."""
    words = {bool: "bool_param", int: "int64_param", str: "string_param", float: "double_param"}
    return {
        name: _pb().InferParameter(**{words[type(value)]: value})
        for name, value in parameters.items()
    }


def wanted(name: str = "y", **parameters: Any) -> dict[str, Any]:
    return {"name": name, "parameters": chosen(**parameters)}


def typed() -> list[Case]:
    found = []
    fields = {
        "BOOL": "bool", "UINT8": "uint", "INT8": "int", "INT32": "int", "UINT64": "uint64",
        "INT64": "int64", "FP32": "fp32", "FP64": "fp64", "BYTES": "bytes",
    }  # fmt: skip  # a table
    for kind in TYPES:
        values = [v.encode() if isinstance(v, str) else v for v in VALUES[kind]]
        if kind == "BYTES":
            data = b"".join(len(item).to_bytes(4, "little") + item for item in values)
        else:
            word = {"FP": "f", "IN": "i", "UI": "u", "BO": "?"}[kind[:2]]
            size = "" if kind == "BOOL" else str(int("".join(filter(str.isdigit, kind))) // 8)
            data = np.array(values, np.dtype(word + size)).tobytes()
        x = tensor("x", kind, [1, 2])
        found.append(infer(f"raw-{kind}", request(f"identity-{kind}", [x], [data])))
        if kind in fields:
            contents = _pb().InferTensorContents(**{f"{fields[kind]}_contents": values})
            one = request(f"identity-{kind}", [{**x, "contents": contents}])
            found.append(infer(f"typed-{kind}", one))
    return found


def described() -> list[Case]:
    names: Sequence[tuple[str, str, dict[str, Any]]] = [
        ("live", "ServerLive", {}),
        ("ready", "ServerReady", {}),
        ("server-metadata", "ServerMetadata", {}),
        ("model-ready", "ModelReady", {"name": "pair"}),
        ("model-ready-unknown", "ModelReady", {"name": "nobody"}),
        ("model-ready-unknown-version", "ModelReady", {"name": "pair", "version": "9"}),
        ("model-metadata", "ModelMetadata", {"name": "pair"}),
        ("model-metadata-version", "ModelMetadata", {"name": "pair", "version": "1"}),
        ("model-metadata-unknown", "ModelMetadata", {"name": "nobody"}),
        ("model-metadata-odd-version", "ModelMetadata", {"name": "pair", "version": "one"}),
        ("config", "ModelConfig", {"name": "pair"}),
        ("config-unknown", "ModelConfig", {"name": "nobody"}),
        ("stats", "ModelStatistics", {"name": "pair"}),
        ("stats-unknown", "ModelStatistics", {"name": "nobody"}),
        ("index", "RepositoryIndex", {}),
        ("index-ready", "RepositoryIndex", {"ready": True}),
        ("trace", "TraceSetting", {}),
        ("trace-unknown-model", "TraceSetting", {"model_name": "nobody"}),
        ("trace-unknown", "TraceSetting", {"settings": {"colour": {"value": ["1"]}}}),
        ("log", "LogSettings", {}),
        ("log-unknown", "LogSettings", {"settings": {"colour": {"bool_param": True}}}),
        ("log-type", "LogSettings", {"settings": {"log_info": {"string_param": "maybe"}}}),
        ("load-again", "RepositoryModelLoad", {"model_name": "scores"}),
        ("load-unknown", "RepositoryModelLoad", {"model_name": "nobody"}),
        ("unload-unknown", "RepositoryModelUnload", {"model_name": "nobody"}),
        ("memory-unregister-unknown", "SystemSharedMemoryUnregister", {"name": "nobody"}),
        ("memory-status-unknown", "SystemSharedMemoryStatus", {"name": "nobody"}),
        ("memory-status", "SystemSharedMemoryStatus", {}),
        (
            "memory-unknown-key",
            "SystemSharedMemoryRegister",
            {"name": "in", "key": "/ew-nothing", "byte_size": 8},
        ),
        ("cuda-status", "CudaSharedMemoryStatus", {}),
        ("cuda-status-unknown", "CudaSharedMemoryStatus", {"name": "in"}),
        ("cuda-unregister", "CudaSharedMemoryUnregister", {}),
        (
            "cuda-register",
            "CudaSharedMemoryRegister",
            {"name": "in", "raw_handle": b"\0" * 64, "byte_size": 64},
        ),
    ]
    return [Case(name, [call(method, **fields)]) for name, method, fields in names]


def inferences() -> list[Case]:
    scores = functools.partial(request, "scores", [tensor("x", "FP32", [2, 5])], [SCORES])
    x = tensor("x", "FP32", [1, 2])
    one = functools.partial(request, "identity-FP32")
    return [
        infer("pair", pair()),
        infer("pair-id", pair(id="r-7")),
        infer("pair-version", pair(model_version="1")),
        infer("pair-outputs", pair(outputs=[wanted("difference"), wanted("total")])),
        infer("pair-one-output", pair(outputs=[wanted("difference")])),
        infer("parameters", pair(parameters=chosen(my="own", n=7, f=0.5, b=True))),
        infer("priority-timeout", pair(parameters=chosen(priority=1, timeout=5_000_000))),
        infer("final-flag", pair(parameters=chosen(triton_enable_empty_final_response=True))),
        infer("empty", one([tensor("x", "FP32", [0, 2])], [b""])),
        infer("unknown-model", request("nobody", [x], [FOUR[:8]])),
        infer("unknown-version", pair(model_version="9")),
        infer("odd-version", pair(model_version="one")),
        infer("no-inputs", request("pair", [], [])),
        infer("input-missing", request("pair", [A], [FOUR])),
        infer("input-unknown", one([tensor("z", "FP32", [1, 2])], [FOUR[:8]])),
        infer("input-twice", one([x, x], [FOUR[:8], FOUR[:8]])),
        infer("input-type", one([tensor("x", "INT32", [1, 2])], [FOUR[:8]])),
        infer("input-no-type", one([tensor("x", "COLOUR", [1, 2])], [FOUR[:8]])),
        infer("input-shape", one([tensor("x", "FP32", [1, 3])], [FOUR[:12]])),
        infer("input-rank", one([tensor("x", "FP32", [2])], [FOUR[:8]])),
        infer("input-negative", one([tensor("x", "FP32", [-1, 2])], [FOUR[:8]])),
        infer("raw-short", one([x], [FOUR[:4]])),
        infer("raw-long", one([x], [FOUR])),
        infer("raw-missing", request("pair", [A, B], [FOUR])),
        infer("raw-too-many", one([x], [FOUR[:8], FOUR[:8]])),
        infer("no-data", one([x])),
        infer("contents-few", one([{**x, "contents": {"fp32_contents": [1]}}])),
        infer("contents-other", one([{**x, "contents": {"int_contents": [1, 2]}}])),
        infer("contents-and-raw", one([{**x, "contents": {"fp32_contents": [1, 2]}}], [FOUR[:8]])),
        infer("output-unknown", pair(outputs=[wanted("colour")])),
        infer("output-twice", pair(outputs=[wanted("total"), wanted("total")])),
        infer("classes", scores(outputs=[wanted(classification=2)])),
        infer("classes-too-many", scores(outputs=[wanted(classification=99)])),
        infer("classes-negative", scores(outputs=[wanted(classification=-1)])),
        infer("classes-text", scores(outputs=[wanted(classification="two")])),
        infer("timeout-text", pair(parameters=chosen(timeout="soon"))),
        infer("priority-text", pair(parameters=chosen(priority="high"))),
        stream("stream", pair(id="1"), pair(id="2")),
        stream("stream-none"),
        stream("stream-error", pair(id="1"), request("nobody", [x], [FOUR[:8]], id="2"), pair()),
        stream("stream-invalid", one([x], [FOUR[:4]], id="7"), one([x], [FOUR[:8]])),
        stream("stream-final", pair(parameters=chosen(triton_enable_empty_final_response=True))),
        stream("stream-status", request("nobody", [x], [FOUR[:8]]), triton_grpc_error="true"),
        Case(
            "unload-load",
            [
                call("RepositoryModelUnload", model_name="scores"),
                call("ModelReady", name="scores"),
                Call("ModelInfer", [scores()]),
                call("RepositoryModelLoad", model_name="scores"),
                Call("ModelInfer", [scores()]),
            ],
        ),
    ]


def memories() -> list[Case]:
    memory = {"ew-grpc": F8 + b"\0" * 96}
    whole = call("SystemSharedMemoryRegister", name="in", key="/ew-grpc", byte_size=128)
    forget = call("SystemSharedMemoryUnregister")

    def place(size: int = 16, offset: int = 0, region: str = "in") -> dict[str, Any]:
        said = {"shared_memory_offset": offset} if offset else {}
        return chosen(shared_memory_region=region, shared_memory_byte_size=size, **said)

    def placed(**where: Any) -> Call:
        inputs = [{**A, "parameters": place(**where)}, B]
        return Call("ModelInfer", [request("pair", inputs, [FOUR])])

    def put(**where: Any) -> Call:
        return Call("ModelInfer", [pair(outputs=[{"name": "total", "parameters": place(**where)}])])

    def case(name: str, *calls: Call) -> Case:
        return Case(f"memory-{name}", [whole, *calls, forget], memory)

    both = [{**A, "parameters": place()}, {**B, "parameters": place(offset=16)}]
    return [
        case("registered", call("SystemSharedMemoryStatus", name="in")),
        case("twice", whole),
        case("input", placed()),
        case("inputs", Call("ModelInfer", [request("pair", both)])),
        case("output", put(offset=64)),
        case("output-large", put(offset=64, size=32)),
        case("output-small", put(size=8)),
        case("unknown-region", placed(region="other")),
        case("unknown-output-region", put(region="other")),
        case("input-beyond", placed(offset=120)),
        case("output-beyond", put(offset=120)),
        case("input-small", placed(size=8)),
        case("input-large", placed(size=32)),
        Case(
            "memory-too-long",
            [call("SystemSharedMemoryRegister", name="in", key="/ew-grpc", byte_size=129), forget],
            memory,
        ),
    ]


def all_cases() -> list[Case]:
    """All of them, in the order in which they are asked."""
    makers: Sequence[Callable[[], list[Case]]] = (described, typed, inferences, memories)
    return [case for make in makers for case in make()]
