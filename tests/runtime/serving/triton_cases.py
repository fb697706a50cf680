"""What is asked of a real Triton and of this server, in the same words."""

import json
import struct

import numpy as np

from tests.runtime.serving.triton_extension_cases import extensions, memories
from tests.runtime.serving.triton_requests import (
    F8,
    TYPES,
    VALUES,
    A,
    B,
    Case,
    Document,
    Exchange,
    binary,
    get,
    infer,
    one,
    pair,
    post,
    raw,
)


def typed() -> list[Case]:
    """Every type as JSON and as binary data, there and back."""
    found = []
    for kind in TYPES:
        values = VALUES[kind]
        tensor = {"name": "x", "datatype": kind, "shape": [1, 2]}
        if kind == "BYTES":
            items = [text.encode() for text in values]
            data = b"".join(struct.pack("<I", len(item)) + item for item in items)
        else:
            word = {"FP": "f", "IN": "i", "UI": "u", "BO": "?"}[kind[:2]]
            size = "" if kind == "BOOL" else str(int("".join(filter(str.isdigit, kind))) // 8)
            data = np.array(values, np.dtype(word + size)).tobytes()
        described = {**tensor, "parameters": {"binary_data_size": len(data)}}
        both = {"inputs": [described], "parameters": {"binary_data_output": True}}
        found.append(
            Case(
                f"json-{kind}",
                [infer(f"identity-{kind}", {"inputs": [{**tensor, "data": values}]})],
            )
        )
        found.append(Case(f"binary-{kind}", [binary(f"identity-{kind}", both, data)]))
        found.append(
            Case(
                f"binary-to-json-{kind}",
                [binary(f"identity-{kind}", {"inputs": [described]}, data)],
            )
        )
    return found


def described() -> list[Case]:
    """What the server says about itself."""
    settings = {"log_verbose_level": 1, "log_info": False}
    back = {"log_verbose_level": 0, "log_info": True}
    return [
        Case("live", [get("/v2/health/live")]),
        Case("ready", [get("/v2/health/ready")]),
        Case("server-metadata", [get("/v2")]),
        Case("server-metadata-slash", [get("/v2/")]),
        Case("model-metadata", [get("/v2/models/pair")]),
        Case("model-metadata-version", [get("/v2/models/pair/versions/1")]),
        Case("model-metadata-unknown", [get("/v2/models/nobody")]),
        Case("model-metadata-unknown-version", [get("/v2/models/pair/versions/9")]),
        Case("model-metadata-odd-version", [get("/v2/models/pair/versions/one")]),
        Case(
            "model-ready", [get("/v2/models/pair/ready"), get("/v2/models/pair/versions/1/ready")]
        ),
        Case("model-ready-unknown", [get("/v2/models/nobody/ready")]),
        Case("model-ready-unknown-version", [get("/v2/models/pair/versions/9/ready")]),
        Case("config", [get("/v2/models/pair/config")]),
        Case("config-unknown", [get("/v2/models/nobody/config")]),
        Case("stats-one", [infer("pair", pair()), get("/v2/models/pair/stats")]),
        Case("stats-version", [get("/v2/models/pair/versions/1/stats")]),
        Case("stats-all", [get("/v2/models/stats")]),
        Case("stats-unknown", [get("/v2/models/nobody/stats")]),
        Case("stats-unknown-version", [get("/v2/models/pair/versions/9/stats")]),
        Case("index", [post("/v2/repository/index")]),
        Case("index-ready", [post("/v2/repository/index", {"ready": True})]),
        Case("index-no-json", [raw("/v2/repository/index", b"{")]),
        Case("logging", [get("/v2/logging")]),
        Case("logging-update", [post("/v2/logging", settings), post("/v2/logging", back)]),
        Case("logging-unknown", [post("/v2/logging", {"log_colour": 1})]),
        Case("logging-type", [post("/v2/logging", {"log_info": "maybe"})]),
        Case(
            "logging-format",
            [
                post("/v2/logging", {"log_format": "ISO8601"}),
                post("/v2/logging", {"log_format": "default"}),
            ],
        ),
        Case("logging-bad-format", [post("/v2/logging", {"log_format": "roman"})]),
        Case("logging-no-json", [raw("/v2/logging", b"{")]),
        Case("trace", [get("/v2/trace/setting")]),
        Case("trace-model", [get("/v2/models/pair/trace/setting")]),
        Case("trace-unknown-model", [get("/v2/models/nobody/trace/setting")]),
        Case(
            "trace-update",
            [
                post("/v2/trace/setting", {"trace_rate": "7", "trace_count": "3"}),
                post("/v2/trace/setting", {"trace_rate": None, "trace_count": None}),
            ],
        ),
        Case(
            "trace-update-model",
            [
                post("/v2/models/pair/trace/setting", {"trace_level": ["TIMESTAMPS"]}),
                get("/v2/models/pair/trace/setting"),
                get("/v2/trace/setting"),
                post("/v2/models/pair/trace/setting", {"trace_level": None}),
            ],
        ),
        Case("trace-bad-level", [post("/v2/trace/setting", {"trace_level": ["LOUD"]})]),
        Case("trace-bad-rate", [post("/v2/trace/setting", {"trace_rate": "often"})]),
        Case("trace-unknown", [post("/v2/trace/setting", {"trace_colour": "1"})]),
    ]


def wrong() -> list[Case]:
    """Requests that cannot be answered."""
    return [
        Case("path-unknown", [get("/"), get("/v2/nothing"), get("/v3"), get("/v2/models")]),
        Case(
            "method-wrong",
            [
                get("/v2/models/pair/infer"),
                post("/v2", {}),
                post("/v2/health/live"),
                get("/v2/repository/index"),
                Exchange("DELETE", "/v2"),
                Exchange("PUT", "/v2/logging", b"{}"),
            ],
        ),
        Case("model-unknown", [infer("nobody", pair())]),
        Case("version-unknown", [post("/v2/models/pair/versions/9/infer", pair())]),
        Case("version-odd", [post("/v2/models/pair/versions/one/infer", pair())]),
        Case("version-known", [post("/v2/models/pair/versions/1/infer", pair())]),
        Case("body-empty", [raw("/v2/models/pair/infer", b"")]),
        Case("body-no-json", [raw("/v2/models/pair/infer", b"{nonsense")]),
        Case("body-list", [infer("pair", [])]),
        Case("inputs-missing", [infer("pair", {})]),
        Case("inputs-empty", [infer("pair", {"inputs": []})]),
        Case("inputs-object", [infer("pair", {"inputs": {"x": 1}})]),
        Case("input-missing", [infer("pair", {"inputs": [A]})]),
        Case("input-twice", [infer("pair", {"inputs": [A, A, B]})]),
        Case("input-unknown", [infer("pair", {"inputs": [A, B, {**A, "name": "c"}]})]),
        Case("input-unnamed", [infer("pair", {"inputs": [{"shape": [1, 4]}]})]),
        Case("datatype-wrong", [infer("identity-FP32", one(datatype="INT32", data=[1, 2]))]),
        Case("datatype-unknown", [infer("identity-FP32", one(datatype="FP31"))]),
        Case("datatype-missing", [infer("identity-FP32", one(datatype=None))]),
        Case("shape-wrong", [infer("identity-FP32", one(shape=[1, 3], data=[1, 2, 3]))]),
        Case("shape-rank", [infer("identity-FP32", one(shape=[2]))]),
        Case("shape-negative", [infer("identity-FP32", one(shape=[-1, 2]))]),
        Case("shape-missing", [infer("identity-FP32", one(shape=None))]),
        Case("shape-text", [infer("identity-FP32", one(shape="1,2"))]),
        Case("data-few", [infer("identity-FP32", one(data=[1]))]),
        Case("data-many", [infer("identity-FP32", one(data=[1, 2, 3]))]),
        Case("data-missing", [infer("identity-FP32", one(data=None))]),
        Case("data-text", [infer("identity-FP32", one(data=["a", "b"]))]),
        Case(
            "data-float-for-integer",
            [infer("identity-INT32", one(datatype="INT32", data=[1.5, 2]))],
        ),
        Case("data-beyond-type", [infer("identity-UINT8", one(datatype="UINT8", data=[256, -1]))]),
        Case("data-nested", [infer("identity-FP32", one(data=[[1, -2.5]]))]),
        Case("output-unknown", [infer("pair", pair(outputs=[{"name": "z"}]))]),
        Case("output-one", [infer("pair", pair(outputs=[{"name": "difference"}]))]),
        Case("id", [infer("pair", pair(id="r-7"))]),
        Case("id-number", [infer("pair", pair(id=7))]),
        Case("parameters-custom", [infer("pair", pair(parameters={"my": 1, "own": "x"}))]),
        Case("parameters-list", [infer("pair", pair(parameters=[]))]),
        Case("timeout", [infer("pair", pair(parameters={"timeout": 5_000_000}))]),
        Case("timeout-text", [infer("pair", pair(parameters={"timeout": "soon"}))]),
        Case("priority", [infer("pair", pair(parameters={"priority": 0}))]),
        Case("priority-negative", [infer("pair", pair(parameters={"priority": -1}))]),
    ]


def binaries() -> list[Case]:
    """Binary data, packed bodies, raw requests."""
    head = {"name": "x", "datatype": "FP32", "shape": [1, 2]}

    def sized(size: int) -> Document:
        return {"inputs": [{**head, "parameters": {"binary_data_size": size}}]}

    b = {**{k: v for k, v in B.items() if k != "data"}, "parameters": {"binary_data_size": 16}}
    mixed = {"inputs": [A, b]}
    body = json.dumps(one()).encode()
    zipped = {"Content-Encoding": "gzip"}
    return [
        Case("binary-size-small", [binary("identity-FP32", sized(4), F8[:4])]),
        Case("binary-size-beyond", [binary("identity-FP32", sized(8), F8[:4])]),
        Case("binary-size-negative", [binary("identity-FP32", sized(-1), F8[:8])]),
        Case("binary-stray-bytes", [binary("identity-FP32", sized(8), F8[:12])]),
        Case(
            "binary-header-beyond",
            [raw("/v2/models/identity-FP32/infer", body, Inference_Header_Content_Length="99999")],
        ),
        Case(
            "binary-header-text",
            [raw("/v2/models/identity-FP32/infer", body, Inference_Header_Content_Length="many")],
        ),
        Case(
            "binary-header-negative",
            [raw("/v2/models/identity-FP32/infer", body, Inference_Header_Content_Length="-1")],
        ),
        Case("binary-mixed", [binary("pair", mixed, F8[:16])]),
        Case(
            "binary-bytes-cut",
            [
                binary(
                    "identity-BYTES",
                    {
                        "inputs": [
                            {**head, "datatype": "BYTES", "parameters": {"binary_data_size": 8}}
                        ]
                    },
                    struct.pack("<I", 9) + b"abcd",
                )
            ],
        ),
        Case(
            "binary-some-outputs",
            [
                infer(
                    "pair",
                    pair(
                        outputs=[
                            {"name": "total"},
                            {"name": "difference", "parameters": {"binary_data": True}},
                        ]
                    ),
                )
            ],
        ),
        Case(
            "binary-all-but-one",
            [
                infer(
                    "pair",
                    pair(
                        parameters={"binary_data_output": True},
                        outputs=[
                            {"name": "total"},
                            {"name": "difference", "parameters": {"binary_data": False}},
                        ],
                    ),
                )
            ],
        ),
        Case(
            "raw-request",
            [raw("/v2/models/identity-FP32/infer", F8, Inference_Header_Content_Length="0")],
        ),
        Case(
            "raw-request-two-inputs",
            [raw("/v2/models/pair/infer", F8, Inference_Header_Content_Length="0")],
        ),
        Case(
            "raw-request-odd-size",
            [raw("/v2/models/identity-FP32/infer", F8[:5], Inference_Header_Content_Length="0")],
        ),
        Case(
            "packed-no-gzip", [Exchange("POST", "/v2/models/identity-FP32/infer", b"???", zipped)]
        ),
        Case(
            "packed-other",
            [Exchange("POST", "/v2/models/identity-FP32/infer", body, {"Content-Encoding": "br"})],
        ),
        Case("answer-gzip", [infer("identity-FP32", one(), Accept_Encoding="gzip")]),
        Case("answer-deflate", [infer("identity-FP32", one(), Accept_Encoding="deflate")]),
        Case(
            "answer-list-of-encodings",
            [infer("identity-FP32", one(), Accept_Encoding="gzip, deflate, br")],
        ),
        Case("answer-unknown-encoding", [infer("identity-FP32", one(), Accept_Encoding="br")]),
    ]


def all_cases() -> list[Case]:
    """All of them; names are unique."""
    found = [*described(), *typed(), *wrong(), *binaries(), *extensions(), *memories()]
    assert len({case.name for case in found}) == len(found)
    return found
