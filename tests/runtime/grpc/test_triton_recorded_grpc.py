"""Answers over gRPC are a real Triton's, but for those that docs/protocol.md lists."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.runtime import models
from tests.runtime.grpc.test_life import grpc_address
from tests.runtime.serving.conftest import TYPES
from tests.runtime.serving.running import serving_files
from tests.runtime.serving.triton_requests import TYPES as CASE_TYPES

grpc = pytest.importorskip("grpc")
pytest.importorskip("tritonclient.grpc")

from tests.runtime.grpc.record_triton_grpc import RECORDED, ask  # noqa: E402  # needs both
from tests.runtime.grpc.triton_grpc_cases import all_cases  # noqa: E402

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"
ANSWERS: Mapping[str, Any] = {entry["name"]: entry for entry in json.loads(RECORDED.read_text())}
CASES = {case.name: case for case in all_cases()}
DESCRIBED = re.compile("(server|model)-metadata|config|stats|index|log|trace")
"""Documents that tell of the server and its models: their members count, not the values."""
SILENT = {
    "cc_model_filenames",
    "metric_tags",
    "model_warmup",
    "batch_input",
    "batch_output",
    "enable",
}
"""Members of a configuration that are empty or false, which is told by leaving them out."""


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("recorded")
    made = {"pair": models.two_by_two_onnx(folder / "pair.onnx")}
    shapes: dict[str, tuple[str, list[int | str]]] = {
        "scores": ("FP32", ["batch", 5]),
        "line": ("FP32", ["size"]),
        "text": ("BYTES", ["size"]),
        **{f"identity-{kind}": (kind, ["batch", 2]) for kind in CASE_TYPES},
    }
    for name, (kind, shape) in shapes.items():
        made[name] = models.identity_onnx(folder / f"{name}.onnx", TYPES[kind], shape=shape)
    options = ["--model-control", "explicit", "--grpc", "127.0.0.1:0"]
    with (
        serving_files(folder, made, *options) as running,
        grpc.insecure_channel(grpc_address(running)) as found,
    ):
        yield found


@functools.cache
def listed() -> frozenset[str]:
    """The cases in the last column of the document's table of gRPC's differences."""
    text = PROTOCOL.read_text().partition("## Different from Triton over gRPC")[2]
    rows = [
        line.rstrip().rstrip("|")
        for line in text.partition("\n# ")[0].splitlines()
        if line.startswith("|")
    ]
    return frozenset(name for row in rows for name in re.findall("`([^`]+)`", row.split("|")[-1]))


def test_every_listed_difference_is_of_a_recorded_case() -> None:
    assert listed() <= ANSWERS.keys()
    assert set(CASES) == ANSWERS.keys(), "record again: python -m ...record_triton_grpc"


@pytest.mark.parametrize("name", CASES)
def test_an_answer_over_grpc_is_tritons(channel: Any, name: str) -> None:
    theirs = ANSWERS[name]
    mine = ask(channel, CASES[name])
    found = [
        f"call {number}: {problem}"
        for number, (their, own) in enumerate(zip(theirs["answers"], mine["answers"], strict=True))
        for problem in differences(their, own, is_exact=DESCRIBED.match(name) is None)
    ]
    if mine.get("memory") != theirs.get("memory"):
        found.append("the shared memory holds something else")
    for answer in mine["answers"]:
        assert answer["code"] == "OK" or (answer["details"] and "\n" not in answer["details"])
    if name in listed():
        assert found, "this case does not differ: take it off the list in docs/protocol.md"
    else:
        assert not found


def differences(
    theirs: Mapping[str, Any], mine: Mapping[str, Any], *, is_exact: bool
) -> Iterator[str]:
    if theirs["code"] != mine["code"]:
        told = f"{theirs['code']} {theirs['details']}"
        yield f"{mine['code']} {mine['details'][:200]}, Triton: {told}"
        return
    if not is_exact:
        yield from lacking(theirs["messages"], mine["messages"], "")
        return
    # Errors within a stream are told in other words.
    own, their = (without_words(answer["messages"]) for answer in (mine, theirs))
    if own != their:
        yield f"{own}, not {their}"


def without_words(messages: Any) -> Any:
    return [
        {key: value if key != "error_message" else "told" for key, value in message.items()}
        for message in messages
    ]


def lacking(theirs: Any, mine: Any, where: str) -> Iterator[str]:
    """Members that Triton's document has and ours has not, or has as another type."""
    if type(theirs) is not type(mine):
        yield f"{where or 'the answer'} is {mine!r}, not {theirs!r}"
    elif isinstance(theirs, dict):
        for key, value in theirs.items():
            if key in mine:
                yield from lacking(value, mine[key], f"{where}.{key}")
            elif key not in SILENT:
                yield f"{where}.{key} is missing"
    elif isinstance(theirs, list) and theirs:
        if mine:
            yield from lacking(theirs[0], mine[0], f"{where}[0]")
        else:
            yield f"{where} is empty"
