"""Ask a real Triton all of `triton_grpc_cases`, and write down what it answers.

    python -m tests.runtime.grpc.record_triton_grpc VENV

VENV is as for `tests.runtime.serving.record_triton`, whose models and start these are.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.runtime.grpc.triton_grpc_cases import Call, Case, all_cases
from tests.runtime.serving import record_triton

RECORDED = Path(__file__).parent / "recorded_triton_grpc.json"
ADDRESS = "127.0.0.1:17021"
_WAIT_S = 30.0


def main(words: list[str]) -> int:
    """Record everything."""
    import grpc

    with tempfile.TemporaryDirectory(prefix="edgewright-triton-") as folder:
        repository = record_triton.repository(Path(folder) / "models")
        command, environment = record_triton.triton(Path(words[0]), Path(folder) / "backends")
        command += ["--model-repository", str(repository)]
        command += ["--model-control-mode", "explicit", "--load-model", "*"]
        process = record_triton.start(command, environment)
        try:
            with grpc.insecure_channel(ADDRESS) as channel:
                recorded = [ask(channel, case) for case in all_cases()]
        finally:
            process.terminate()
            process.wait(timeout=60)
    RECORDED.write_text(json.dumps(recorded, indent=1, ensure_ascii=True) + "\n")
    return 0


def ask(channel: Any, case: Case) -> dict[str, Any]:
    """All of a case, and what it leaves in memory."""
    record_triton.place_memory(case)
    try:
        answers = [_asked(channel, each) for each in case.calls]
    finally:
        memory = record_triton.take_memory(case)
    found: dict[str, Any] = {"name": case.name, "answers": answers}
    return {**found, "memory": memory} if memory else found


def _asked(channel: Any, asked: Call) -> dict[str, Any]:
    """Triton holds memory for a moment after it has answered."""
    ends = time.monotonic() + _WAIT_S
    while True:
        answer = _call(channel, asked)
        is_held = answer["code"] == "INTERNAL" and asked.method == "SystemSharedMemoryUnregister"
        if not is_held or time.monotonic() > ends:
            return answer
        time.sleep(0.05)


def _call(channel: Any, asked: Call) -> dict[str, Any]:
    import grpc
    from google.protobuf.json_format import (  # type: ignore[import-untyped]  # ships no types
        MessageToDict,
    )
    from tritonclient.grpc import service_pb2_grpc

    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    method = getattr(stub, asked.method)
    options: dict[str, Any] = {"timeout": _WAIT_S, "metadata": list(asked.metadata.items())}
    replies: list[Any] = []
    try:
        if asked.method == "ModelStreamInfer":
            replies.extend(method(iter(asked.messages), **options))
        else:
            replies.append(method(asked.messages[0], **options))
    except grpc.RpcError as error:
        code, details = error.code().name, error.details()
    else:
        code, details = "OK", ""
    messages = [MessageToDict(reply, preserving_proto_field_name=True) for reply in replies]
    return {"code": code, "details": details, "messages": messages}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
