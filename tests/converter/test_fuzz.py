"""Thousands of broken models and sample files: each is read or refused, and nothing else happens.

They go to the children that a conversion gives them to, with its limits. A mutation of the
bytes mostly ends in the parser; one of the parsed graph goes deep into the engine.
"""

import random
import resource
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from edgewright_converter.children import Crew, Limits, Order
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.errors import ChildFailed, ConverterError
from edgewright_converter.jobs import PrepareJob, ReadJob
from edgewright_converter.request import ConversionRequest

from tests.converter.conftest import FASHION
from tests.converter.networks import classifier, images, save_samples
from tests.converter.test_damage import damage

MEMORY_BYTES = 700 << 20
SILENCE_S = 20.0
Mutate = Callable[[bytes, random.Random], bytes]


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    (tmp_path / "crew").mkdir()
    with Crew(tmp_path / "crew", Limits(MEMORY_BYTES, SILENCE_S), 2) as crew:
        yield crew


def graph_damage(content: bytes, chance: random.Random) -> bytes:
    """A model that parses and is wrong: other sizes, names, attributes, types, edges, nesting."""
    model = onnx.load_model_from_string(content)
    graph = model.graph
    for _ in range(chance.choice([1, 1, 2, 4])):
        node = chance.choice(graph.node)
        tensor = chance.choice(graph.initializer)
        value = chance.choice([*graph.input, *graph.output])
        match chance.randrange(9):
            case 0 if tensor.dims:
                place = chance.randrange(len(tensor.dims))
                tensor.dims[place] = chance.choice([0, 1, -1, 7, 2**31, 2**40, 2**62])
            case 1 if node.input:
                # An input of a node is any tensor of the graph: cycles and wrong types.
                names = [name for other in graph.node for name in (*other.output, *other.input)]
                node.input[chance.randrange(len(node.input))] = chance.choice(names)
            case 2 if node.attribute:
                attribute = chance.choice(node.attribute)
                attribute.i = chance.choice([-1, 0, 2**31, 2**62])
                if attribute.ints:
                    attribute.ints[0] = chance.choice([-1, 0, 2**31, 2**62])
            case 3:
                node.op_type = chance.choice(
                    ["Conv", "Gemm", "Reshape", "Loop", "If", "Expand", "Tile", "LSTM", "Resize"]
                )
            case 4:
                tensor.data_type = chance.randrange(0, 24)
            case 5:
                tensor.raw_data = tensor.raw_data[: chance.randrange(1 + len(tensor.raw_data))]
            case 6:
                shape = value.type.tensor_type.shape
                shape.dim.add().dim_value = chance.choice([0, 3, 2**40])
            case 7:
                del graph.node[chance.randrange(len(graph.node))]
            case _:
                chance.choice(graph.node).output[0] = chance.choice(graph.node).output[0]
        if not graph.node:
            break
    data: bytes = model.SerializeToString()
    return data


def nested(depth: int) -> bytes:
    """An If in an If in an If ..., put together on the wire: onnx's own classes stop at 30."""

    def field(number: int, content: bytes) -> bytes:
        size, length = len(content), b""
        while size >= 128:
            length, size = length + bytes([size & 127 | 128]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + content

    graph = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Relu"))
    for _ in range(depth):
        branch = field(5, field(1, b"then_branch") + field(6, graph))
        graph = field(1, field(1, b"c") + field(2, b"y") + field(4, b"If") + branch)
    opset = field(8, b"\x10\x11")
    return b"\x08\x08" + opset + field(7, graph)


def must_survive(crew: Crew, paths: Sequence[Path], samples: Path | None = None) -> dict[str, int]:
    """Read every model in a child; how each ended, counted."""
    folder = paths[0].parent
    before = sorted(folder.iterdir())
    ends: dict[str, int] = {}
    requests = [
        ConversionRequest(model=path, name="m", version="1", out=folder / "out", evaluation=samples)
        for path in paths
    ]
    reading = [
        Order(path.name, ReadJob(request)) for path, request in zip(paths, requests, strict=True)
    ]
    good: list[Order] = []
    for index, outcome in crew.run(reading, told=lambda *_: None, tick=lambda: None):
        if outcome.error is None:
            assert outcome.result is not None
            good.append(Order(paths[index].name, PrepareJob(outcome.result, paths[index])))
        note(ends, outcome.error)
    for _, outcome in crew.run(good, told=lambda *_: None, tick=lambda: None):
        note(ends, outcome.error)
    assert sorted(folder.iterdir()) == before
    return ends


def note(ends: dict[str, int], error: ConverterError | None) -> None:
    line = "" if error is None else str(error)
    assert "\n" not in line.strip(), line
    assert len(line) < 4000, line
    # What nobody foresaw is contained; more than a few would be a parser that is not looked at.
    kind = "read" if error is None else type(error).__name__
    ends[kind] = ends.get(kind, 0) + 1
    if isinstance(error, ChildFailed):
        print(line)


def spoilt(content: bytes, folder: Path, suffix: str, count: int, mutate: Mutate) -> list[Path]:
    chance, paths = random.Random(11), []
    for number in range(count):
        path = folder / f"{number}{suffix}"
        path.write_bytes(mutate(content, chance))
        paths.append(path)
    return paths


@pytest.mark.parametrize("mutate", [damage, graph_damage])
def test_broken_onnx_models(crew: Crew, tmp_path: Path, mutate: Mutate) -> None:
    (tmp_path / "models").mkdir()
    content = classifier(tmp_path / "m.onnx").read_bytes()
    paths = spoilt(content, tmp_path / "models", ".onnx", 30, mutate)
    ends = must_survive(crew, paths)
    assert ends.get("ModelFileError", 0) > 5, ends


def test_broken_tflite_models(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    content = write_tflite(onnx.load(classifier(tmp_path / "m.onnx")))
    ends = must_survive(crew, spoilt(content, tmp_path / "models", ".tflite", 8, damage))
    assert sum(ends.values()) >= 8, ends


@pytest.mark.parametrize("depth", [5, 30, 5000])
def test_deep_nesting(crew: Crew, tmp_path: Path, depth: int) -> None:
    (tmp_path / "models").mkdir()
    path = tmp_path / "models" / "m.onnx"
    path.write_bytes(nested(depth))
    onnx.ModelProto.FromString(nested(3))  # it is what it says
    assert "read" not in must_survive(crew, [path])


def test_broken_samples(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    whole = save_samples(tmp_path / "s.npz", x=images(8)).read_bytes()
    model = classifier(tmp_path / "models" / "m.onnx")
    for path in spoilt(whole, tmp_path, ".npz", 10, damage):
        must_survive(crew, [model], path)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutate", [damage, graph_damage])
@pytest.mark.parametrize("model", ["small", "real"])
def test_a_thousand_broken_onnx_models(
    crew: Crew, tmp_path: Path, mutate: Mutate, model: str
) -> None:
    (tmp_path / "models").mkdir()
    path = FASHION / "models" / "v1.onnx"
    content = (classifier(tmp_path / "m.onnx") if model == "small" else path).read_bytes()
    ends = must_survive(crew, spoilt(content, tmp_path / "models", ".onnx", 1000, mutate))
    assert ends.get("ModelFileError", 0) > 100, ends
    # Children's peak, in KiB on Linux: what the largest of them really took.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2 * MEMORY_BYTES // 1024


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_hundreds_of_broken_tflite_models(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    content = write_tflite(onnx.load(FASHION / "models" / "v1.onnx"))
    ends = must_survive(crew, spoilt(content, tmp_path / "models", ".tflite", 300, damage))
    assert sum(ends.values()) >= 300, ends


def test_samples_that_unpack_to_more_than_the_machine_has(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    bomb = tmp_path / "bomb.npz"
    np.savez_compressed(bomb, x=np.zeros((5_000_000, 1, 8, 8), np.uint8))
    assert bomb.stat().st_size < 1 << 20
    model = classifier(tmp_path / "models" / "m.onnx")
    ends = must_survive(crew, [model], bomb)
    assert "read" not in ends
