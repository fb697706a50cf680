"""Which function writes which operator, found by name and by the opset that defined its form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright_converter.emit.registration import mark
from edgewright_converter.emit.tflite.emission import Emission
from edgewright_converter.graph.layout import FREE, Placement
from edgewright_converter.graph.model import Graph, Node

Emitter = Callable[[Emission], None]
PlacementRule = Callable[[Node, Graph], Placement]
FLOAT = ("float32",)
ARITHMETIC = ("float32", "int32", "int64")
ANY = ("float32", "int32", "int64", "bool", "int8", "uint8")


@dataclass(frozen=True, slots=True)
class Registration:
    """One operator in some of its forms.

    `versions` are the opsets that gave the operator a form which `emit` honours; `dtypes` the
    element types of its first input that LiteRT's CPU kernels take.
    """

    operator: str
    versions: tuple[int, ...]
    place: PlacementRule
    dtypes: tuple[str, ...]
    emit: Emitter


def emits(
    operator: str,
    versions: Sequence[int],
    *,
    place: Placement | PlacementRule = FREE,
    dtypes: Sequence[str] = FLOAT,
) -> Callable[[Emitter], Emitter]:
    """Marks a function as the writer of an operator's forms; `registry()` collects the marks."""

    def fixed(_: Node, __: Graph) -> Placement:
        assert isinstance(place, Placement)
        return place

    rule = fixed if isinstance(place, Placement) else place

    def register(emit: Emitter) -> Emitter:
        return mark(emit, Registration(operator, tuple(versions), rule, tuple(dtypes), emit))

    return register
