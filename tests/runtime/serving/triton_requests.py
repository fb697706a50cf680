"""What cases for a real Triton and for this server are made of.

A case is a few exchanges in order over HTTP, on models that both have: `pair` (a, b FP32
[-1, 4] -> total, difference), `scores` (x FP32 [-1, 5] -> y, the same), `text` (x BYTES [-1] -> y,
the same), and `identity-T` (x T [-1, 2] -> y, the same). It leaves the server as it found it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TYPES = ("BOOL", "UINT8", "INT8", "INT32", "UINT64", "INT64", "FP16", "FP32", "FP64", "BYTES")
"""Of the 13; the others differ from these in width only."""
Document = Mapping[str, Any]  # JSON


@dataclass(frozen=True)
class Exchange:
    """One request."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """`memory` is what lies under /dev/shm before the first exchange."""

    name: str
    exchanges: Sequence[Exchange]
    memory: Mapping[str, bytes] = field(default_factory=dict)


def get(path: str) -> Exchange:
    return Exchange("GET", path)


def post(path: str, document: object | None = None, **headers: str) -> Exchange:
    body = b"" if document is None else json.dumps(document).encode()
    return Exchange("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})


def raw(path: str, body: bytes, **headers: str) -> Exchange:
    return Exchange("POST", path, body, {k.replace("_", "-"): v for k, v in headers.items()})


def infer(model: str, document: object, **headers: str) -> Exchange:
    return post(f"/v2/models/{model}/infer", document, **headers)


def binary(model: str, document: object, data: bytes) -> Exchange:
    head = json.dumps(document).encode()
    length = {"Inference-Header-Content-Length": str(len(head))}
    return Exchange("POST", f"/v2/models/{model}/infer", head + data, length)


A = {"name": "a", "datatype": "FP32", "shape": [1, 4], "data": [5, 6, 7, 8]}
B = {"name": "b", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4.5]}
X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, -2.5]}
F8 = np.arange(8, dtype=np.float32).tobytes()
SCORES = {"name": "x", "datatype": "FP32", "shape": [2, 5], "data": [1, 5, 2, 4, 3, 0, 0, 9, 0, 0]}


def pair(**changes: object) -> Document:
    return {"inputs": [A, B], **changes}


def one(**changes: object) -> Document:
    """A request for identity-FP32 whose only tensor is changed; None removes a key."""
    changed = {**X, **changes}
    return {"inputs": [{key: value for key, value in changed.items() if value is not None}]}


def wanted(**parameters: object) -> Document:
    return {"inputs": [SCORES], "outputs": [{"name": "y", "parameters": parameters}]}


def shm(name: str, **parameters: object) -> Document:
    return {"name": name, "datatype": "FP32", "shape": [1, 4], "parameters": parameters}


def register(name: str, **document: object) -> Exchange:
    return post(f"/v2/systemsharedmemory/region/{name}/register", document)


STATUS = get("/v2/systemsharedmemory/status")
FORGET = post("/v2/systemsharedmemory/unregister")
VALUES: Mapping[str, list[Any]] = {
    "BOOL": [True, False],
    "UINT8": [0, 255],
    "INT8": [-128, 127],
    "INT32": [-(1 << 31), (1 << 31) - 1],
    "UINT64": [0, (1 << 63) + 1],
    "INT64": [-(1 << 63), (1 << 63) - 1],
    "FP16": [0.5, -2],
    "FP32": [1.5, -2],
    "FP64": [1.1, -2e300],
    "BYTES": ["abc", "\u00fc"],
}
