"""Our answers are those that a real Triton gave to the same requests, but for listed differences.

`docs/protocol.md` lists them, each with its reason and the names of the cases it is about. A case
that is listed and does not differ fails too: the list is no longer than what is so.
"""

import functools
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.runtime import models
from tests.runtime.serving.conftest import TYPES
from tests.runtime.serving.record_triton import RECORDED, exchange, place_memory, take_memory
from tests.runtime.serving.running import Running, serving_files
from tests.runtime.serving.triton_cases import all_cases
from tests.runtime.serving.triton_requests import TYPES as CASE_TYPES

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"
ANSWERS: Mapping[str, Any] = {entry["name"]: entry for entry in json.loads(RECORDED.read_text())}
CASES = {case.name: case for case in all_cases()}
FIXED = [name for name in ANSWERS if name.startswith("fixed-")]
"""The same cases asked of a server that was started without explicit model control."""
DESCRIBED = re.compile("(server|model)-metadata|config|stats|index|fixed|unload|logging$")
"""Documents that tell of the server and its models: their members count, not the values."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    made = {"pair": models.two_by_two_onnx(folder / "pair.onnx")}
    shapes: dict[str, tuple[str, list[int | str]]] = {
        "scores": ("FP32", ["batch", 5]),
        "line": ("FP32", ["size"]),
        "text": ("BYTES", ["size"]),
        **{f"identity-{kind}": (kind, ["batch", 2]) for kind in CASE_TYPES},
    }
    for name, (kind, shape) in shapes.items():
        made[name] = models.identity_onnx(folder / f"{name}.onnx", TYPES[kind], shape=shape)
    return made


@pytest.fixture(scope="module")
def explicit(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ["--model-control", "explicit"]
    with serving_files(tmp_path_factory.mktemp("explicit"), files, *options) as running:
        yield running


@pytest.fixture(scope="module")
def fixed(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving_files(tmp_path_factory.mktemp("fixed"), files) as running:
        yield running


@functools.cache
def listed() -> frozenset[str]:
    """The cases in the last column of the document's tables of differences."""
    text = PROTOCOL.read_text().partition("## Different from Triton")[2].partition("\n# ")[0]
    rows = [line.rstrip().rstrip("|") for line in text.splitlines() if line.startswith("|")]
    return frozenset(name for row in rows for name in re.findall("`([^`]+)`", row.split("|")[-1]))


def test_every_listed_difference_is_of_a_recorded_case() -> None:
    assert listed() <= ANSWERS.keys()
    assert set(CASES) | set(FIXED) == ANSWERS.keys(), "record again: python -m ...record_triton"


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_tritons(explicit: Running, name: str) -> None:
    check(explicit, name, name)


@pytest.mark.parametrize("name", FIXED)
def test_an_answer_without_model_control_is_tritons(fixed: Running, name: str) -> None:
    check(fixed, name, name.removeprefix("fixed-"))


def check(server: Running, name: str, asked: str) -> None:
    case, recorded = CASES[asked], ANSWERS[name]
    place_memory(case)
    try:
        ours = [exchange(server.address, one) for one in case.exchanges]
    finally:
        memory = take_memory(case)
    found = [
        f"exchange {number}: {problem}"
        for number, (theirs, mine) in enumerate(zip(recorded["answers"], ours, strict=True))
        for problem in differences(theirs, mine, is_exact=DESCRIBED.match(name) is None)
    ]
    if memory != recorded.get("memory", {}):
        found.append("the shared memory holds something else")
    for mine in ours:
        assert mine["status"] == 200 or well_told(mine), mine
    if name in listed():
        assert found, "this case does not differ: take it off the list in docs/protocol.md"
    else:
        assert not found


def well_told(reply: Mapping[str, Any]) -> bool:
    document = json.loads(reply["body"])
    return list(document) == ["error"] and "\n" not in document["error"]


def differences(
    theirs: Mapping[str, Any], mine: Mapping[str, Any], *, is_exact: bool
) -> Iterator[str]:
    if theirs["status"] != mine["status"]:
        yield f"status {mine['status']}, Triton's {theirs['status']}: {mine['body'][:200]}"
        return
    if theirs["status"] != 200:
        return
    for header in ("content-type", "content-encoding"):
        if theirs["body"] and theirs["headers"].get(header) != mine["headers"].get(header):
            yield f"{header} {mine['headers'].get(header)}, not {theirs['headers'].get(header)}"
            return
    (their_json, their_data), (my_json, my_data) = parts(theirs), parts(mine)
    if their_data != my_data:
        yield "other binary data"
    if not is_exact:
        yield from lacking(their_json, my_json, "")
    elif their_json != my_json:
        yield f"{my_json}, not {their_json}"


def parts(reply: Mapping[str, Any]) -> tuple[Any, bytes]:
    """The JSON of a body (None for an empty one) and the binary data behind it."""
    body = reply["body"].encode("latin-1")
    coding = reply["headers"].get("content-encoding")
    if coding is not None:
        body = gzip.decompress(body) if coding == "gzip" else zlib.decompress(body)
    if body.startswith(b"data: "):
        assert body.endswith(b"\n\n")
        body = body[6:]
    size = int(reply["headers"].get("inference-header-content-length", len(body)))
    return json.loads(body[:size]) if size else None, body[size:]


def lacking(theirs: Any, mine: Any, where: str) -> Iterator[str]:
    """Members that Triton's document has and ours has not, or has as another type."""
    if type(theirs) is not type(mine):
        yield f"{where or 'the document'} is {mine!r}, not {theirs!r}"
    elif isinstance(theirs, dict):
        for key, value in theirs.items():
            if key in mine:
                yield from lacking(value, mine[key], f"{where}.{key}")
            else:
                yield f"{where}.{key} is missing"
    elif isinstance(theirs, list) and theirs:
        if mine:
            yield from lacking(theirs[0], mine[0], f"{where}[0]")
        else:
            yield f"{where} is empty"
