"""Cases of Triton's extensions: classification, generate, load and unload, shared memory."""

import base64

from tests.runtime.serving.triton_requests import (
    F8,
    FORGET,
    SCORES,
    STATUS,
    B,
    Case,
    Document,
    Exchange,
    get,
    infer,
    pair,
    post,
    raw,
    register,
    shm,
    wanted,
)


def extensions() -> list[Case]:
    """Classification, generate, load and unload."""
    generate = "/v2/models/text/generate"
    stream = "/v2/models/text/generate_stream"
    return [
        Case("classes", [infer("scores", wanted(classification=2))]),
        Case("classes-binary", [infer("scores", wanted(classification=3, binary_data=True))]),
        Case("classes-too-many", [infer("scores", wanted(classification=99))]),
        Case("classes-zero", [infer("scores", wanted(classification=0))]),
        Case("classes-negative", [infer("scores", wanted(classification=-1))]),
        Case("classes-text", [infer("scores", wanted(classification="two"))]),
        Case(
            "classes-of-bytes",
            [
                infer(
                    "text",
                    {
                        "inputs": [
                            {"name": "x", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}
                        ],
                        "outputs": [{"name": "y", "parameters": {"classification": 1}}],
                    },
                )
            ],
        ),
        Case("generate", [post(generate, {"x": "hello"})]),
        Case("generate-list", [post(generate, {"x": ["a", "b"]})]),
        Case("generate-id", [post(generate, {"id": "r-7", "x": "hello"})]),
        Case("generate-parameters", [post(generate, {"x": "a", "parameters": {"k": 1}, "t": 0.5})]),
        Case("generate-missing", [post(generate, {"text": "hello"})]),
        Case("generate-type", [post(generate, {"x": 7})]),
        Case("generate-no-json", [raw(generate, b"{")]),
        Case("generate-empty", [raw(generate, b"")]),
        Case("generate-unknown-model", [post("/v2/models/nobody/generate", {"x": "hello"})]),
        Case("generate-numbers", [post("/v2/models/line/generate", {"x": [1, 2, 3.5]})]),
        Case("generate-number", [post("/v2/models/line/generate", {"x": 3})]),
        Case(
            "generate-matrix",
            [post("/v2/models/pair/generate", {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]})],
        ),
        Case("generate-method", [get(generate)]),
        Case("generate-version", [post("/v2/models/text/versions/1/generate", {"x": "hello"})]),
        Case("stream", [post(stream, {"x": "hello"})]),
        Case("stream-missing", [post(stream, {"text": "hello"})]),
        Case("stream-no-json", [raw(stream, b"{")]),
        Case("stream-unknown-model", [post("/v2/models/nobody/generate_stream", {"x": "hello"})]),
        Case(
            "unload-load",
            [
                post("/v2/repository/models/scores/unload"),
                get("/v2/models/scores"),
                get("/v2/models/scores/ready"),
                infer("scores", {"inputs": [SCORES]}),
                get("/v2/models/scores/stats"),
                post("/v2/repository/models/scores/unload"),
                post("/v2/repository/models/scores/load"),
                infer("scores", {"inputs": [SCORES]}),
            ],
        ),
        Case("load-again", [post("/v2/repository/models/scores/load")]),
        Case("load-unknown", [post("/v2/repository/models/nobody/load")]),
        Case("unload-unknown", [post("/v2/repository/models/nobody/unload")]),
        Case(
            "unload-dependents",
            [
                post(
                    "/v2/repository/models/nobody/unload",
                    {"parameters": {"unload_dependents": True}},
                )
            ],
        ),
        Case("load-no-json", [raw("/v2/repository/models/scores/load", b"{")]),
        Case(
            "load-bad-config",
            [post("/v2/repository/models/scores/load", {"parameters": {"config": "{"}})],
        ),
        Case(
            "load-config-type",
            [post("/v2/repository/models/scores/load", {"parameters": {"config": 7}})],
        ),
        Case(
            "load-file-no-config",
            [
                post(
                    "/v2/repository/models/scores/load",
                    {"parameters": {"file:1/model.onnx": base64.b64encode(b"nonsense").decode()}},
                )
            ],
        ),
        Case(
            "load-unknown-parameter",
            [post("/v2/repository/models/scores/load", {"parameters": {"colour": "red"}})],
        ),
        Case("load-method", [get("/v2/repository/models/scores/load")]),
    ]


def memories() -> list[Case]:
    """System and CUDA shared memory."""
    memory = {"ew-case": F8 + b"\0" * 96}
    whole = register("in", key="/ew-case", offset=0, byte_size=128)
    good = {
        "inputs": [
            shm("a", shared_memory_region="in", shared_memory_byte_size=16),
            shm(
                "b",
                shared_memory_region="in",
                shared_memory_byte_size=16,
                shared_memory_offset=16,
            ),
        ]
    }
    place = {"shared_memory_region": "in", "shared_memory_byte_size": 16}
    out = [
        {"name": "total", "parameters": {**place, "shared_memory_offset": 64}},
        {"name": "difference", "parameters": {**place, "shared_memory_offset": 80}},
    ]

    def placed(**changes: object) -> Document:
        return {"inputs": [{**good["inputs"][0], "parameters": {**place, **changes}}, B]}

    def put(**changes: object) -> Document:
        return pair(outputs=[{"name": "total", "parameters": {**place, **changes}}])

    cuda = {
        "raw_handle": {"b64": base64.b64encode(b"\0" * 64).decode()},
        "device_id": 0,
        "byte_size": 64,
    }

    def region(name: str, *exchanges: Exchange) -> Case:
        return Case(name, [whole, *exchanges, FORGET], memory)

    return [
        Case(
            "memory-none",
            [
                STATUS,
                FORGET,
                post("/v2/systemsharedmemory/region/in/unregister"),
                get("/v2/systemsharedmemory/region/in/status"),
            ],
        ),
        region(
            "memory-status",
            STATUS,
            get("/v2/systemsharedmemory/region/in/status"),
            post("/v2/systemsharedmemory/region/in/unregister"),
            STATUS,
        ),
        region("memory-twice", whole, STATUS),
        Case(
            "memory-unknown-key", [register("in", key="/ew-nothing", offset=0, byte_size=8), STATUS]
        ),
        Case(
            "memory-too-long",
            [register("in", key="/ew-case", offset=0, byte_size=129), STATUS, FORGET],
            memory,
        ),
        Case(
            "memory-offset-beyond",
            [register("in", key="/ew-case", offset=120, byte_size=16), STATUS, FORGET],
            memory,
        ),
        Case("memory-no-key", [register("in", offset=0, byte_size=8)], memory),
        Case("memory-no-size", [register("in", key="/ew-case", offset=0)], memory),
        Case("memory-negative", [register("in", key="/ew-case", offset=0, byte_size=-8)], memory),
        Case("memory-no-json", [raw("/v2/systemsharedmemory/region/in/register", b"{")], memory),
        Case("memory-path", [register("in", key="/../../etc/passwd", offset=0, byte_size=8)]),
        Case(
            "memory-method",
            [
                get("/v2/systemsharedmemory/region/in/register"),
                post("/v2/systemsharedmemory/status"),
            ],
        ),
        region("memory-inputs", infer("pair", good)),
        region("memory-both", infer("pair", {**good, "outputs": out})),
        region("memory-outputs", infer("pair", put(shared_memory_offset=96))),
        region("memory-mixed-input", infer("pair", placed())),
        region("memory-unknown-region", infer("pair", placed(shared_memory_region="other"))),
        region("memory-unknown-output-region", infer("pair", put(shared_memory_region="other"))),
        region("memory-input-beyond", infer("pair", placed(shared_memory_offset=120))),
        region("memory-output-beyond", infer("pair", put(shared_memory_offset=120))),
        region("memory-output-small", infer("pair", put(shared_memory_byte_size=8))),
        region("memory-input-small", infer("pair", placed(shared_memory_byte_size=8))),
        region("memory-input-large", infer("pair", placed(shared_memory_byte_size=32))),
        region("memory-offset-negative", infer("pair", placed(shared_memory_offset=-16))),
        region(
            "memory-size-missing",
            infer("pair", {"inputs": [shm("a", shared_memory_region="in"), B]}),
        ),
        region("memory-region-number", infer("pair", placed(shared_memory_region=7))),
        region(
            "memory-and-binary",
            infer("pair", {"inputs": [shm("a", **place, binary_data_size=16), B]}),
        ),
        region(
            "memory-classes",
            infer(
                "scores",
                {
                    "inputs": [SCORES],
                    "outputs": [{"name": "y", "parameters": {**place, "classification": 1}}],
                },
            ),
        ),
        Case(
            "cuda-status",
            [
                get("/v2/cudasharedmemory/status"),
                get("/v2/cudasharedmemory/region/in/status"),
                post("/v2/cudasharedmemory/unregister"),
                post("/v2/cudasharedmemory/region/in/unregister"),
            ],
        ),
        Case("cuda-register", [post("/v2/cudasharedmemory/region/in/register", cuda)]),
    ]
