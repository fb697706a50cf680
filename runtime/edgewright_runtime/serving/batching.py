"""Requests joined along their first axis into one inference, where measuring says it pays."""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec

from edgewright_runtime.engine.elements import FLOATS, numbers, pack_numbers
from edgewright_runtime.engine.raw_inference import RawInference
from edgewright_runtime.engine.raw_tensor import ELEMENT_BYTES, RawTensor
from edgewright_runtime.errors import InferenceFailed, InvalidInput

Tensors = Mapping[str, RawTensor]

_SIZES = (2, 4, 8, 16, 32)
_PAYS = 0.8
"""Time per item, of that alone, from which on a batch is worth its waiting and joining."""
_GATHERING_S = 8e-6
"""What gathering, checking and handing out cost each request of a batch (measured, x86-64)."""
_LONGEST_S = 0.1
"""A batch that runs for longer would keep urgent requests waiting."""
_BUDGET_S = 0.3
"""For measuring, beside a model that may be serving."""
_RUNS = 5
_BYTES = 8 << 20
"""Of one batch's inputs: engines keep the memory that their largest batch took."""
_ENOUGH = 4
"""Items from which on a batch that does not pay ends the measuring: larger ones rarely do."""
_COMPARED = 4096
"""Elements of an item's output that are compared with those of the item alone."""
_PLANS_KEPT = 64
_PATTERN = 997
"""Made-up elements before they repeat; a prime, so that rows differ."""
_SAME = 1e-2
"""Of the largest value: kernels for other sizes round otherwise, and quantized ones by a step.
An item that sees its neighbours differs by far more."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What loading measured."""

    max_items: int
    """1: batching does not pay."""
    item_s: Mapping[int, float]
    """Time per item by batch size, with joining and splitting; empty where nothing was measured."""
    reason: str
    """One clause for people: why so."""


UNBATCHED = BatchPlan(1, {}, "switched off")


class BatchPlans:
    """What was measured in this process, by whatever tells models apart: a swap back is quick."""

    def __init__(self) -> None:
        self._found: dict[Hashable, BatchPlan] = {}

    def plan(self, key: Hashable, measure: Callable[[], BatchPlan]) -> BatchPlan:
        """As it was measured, or as it is now."""
        found = self._found.pop(key, None) or measure()
        self._found[key] = found
        while len(self._found) > _PLANS_KEPT:
            del self._found[next(iter(self._found))]
        return found


def plan_batches(infer: RawInference, signature: ModelSignature, max_items: int) -> BatchPlan:
    """Measure whether joined requests cost less than single ones, and prove that they agree.

    Takes some tenths of a second at most, of one core; for the loader's thread.
    """
    if max_items < 2:
        return UNBATCHED
    if not signature.inputs or not all(_has_free_batch(spec) for spec in _all(signature)):
        return BatchPlan(1, {}, "its first axis is not free in every tensor")
    ends = time.perf_counter() + _BUDGET_S
    items = [_item(signature, seed) for seed in range(_SIZES[0])]
    try:
        alone = [infer(item) for item in items]
        together = split(infer(join(items)), [1] * len(items))
        if not all(map(_agree, alone, together)):
            return BatchPlan(1, {}, "its items influence each other")
        return _measured(infer, signature, max_items, ends)
    except (InvalidInput, InferenceFailed, NotDivisible):
        return BatchPlan(1, {}, "it fails with more than one item, or on numbers made up")


def _measured(
    infer: RawInference, signature: ModelSignature, max_items: int, ends: float
) -> BatchPlan:
    single = [_item(signature, 0)]
    found = {1: _time(infer, single, ends)}
    item_bytes = sum(tensor.nbytes for tensor in single[0].values())
    for size in _SIZES:
        if size > max_items or size * item_bytes > _BYTES or time.perf_counter() > ends:
            break
        whole_s = _time(infer, [_item(signature, seed) for seed in range(size)], ends)
        found[size] = whole_s / size
        if whole_s > _LONGEST_S or (size >= _ENOUGH and not _pays(found[size], found[1])):
            break
    fit = [size for size, item_s in found.items() if size == 1 or size * item_s <= _LONGEST_S]
    best = min(fit, key=lambda size: found[size])
    if not _pays(found[best], found[1]):
        return BatchPlan(1, found, "an item of a batch takes about as long as one alone")
    return BatchPlan(best, found, f"an item of {best} takes {found[best] / found[1]:.0%} of one")


def _pays(item_s: float, alone_s: float) -> bool:
    return item_s + _GATHERING_S <= _PAYS * alone_s


def _time(infer: RawInference, items: Sequence[Tensors], ends: float) -> float:
    """Seconds for one batch, the quickest of a few: others use the machine meanwhile."""
    quickest = float("inf")
    for turn in range(_RUNS + 1):
        started = time.perf_counter()
        split(infer(items[0] if len(items) == 1 else join(items)), [1] * len(items))
        now = time.perf_counter()
        if turn:  # the first makes memory and values
            quickest = min(quickest, now - started)
        if turn and now > ends:
            break
    return quickest


class NotDivisible(Exception):
    """The outputs of a batch do not have one row per row of the inputs."""


def rows(inputs: Tensors) -> int:
    """The size of the first axis, on which all inputs agree; 0 where they do not."""
    sizes = {tensor.shape[0] if tensor.shape else 0 for tensor in inputs.values()}
    return sizes.pop() if len(sizes) == 1 else 0


def kind(inputs: Tensors) -> object:
    """What must be equal of requests that are joined: everything but the first axis."""
    return tuple((name, each.datatype, each.shape[1:]) for name, each in sorted(inputs.items()))


def join(requests: Sequence[Tensors]) -> dict[str, RawTensor]:
    """One request with the rows of all, in their order; they are of one `kind`."""
    joined: dict[str, RawTensor] = {}
    for name, first in requests[0].items():
        parts = [request[name] for request in requests]
        shape = (sum(part.shape[0] for part in parts), *first.shape[1:])
        joined[name] = RawTensor(first.datatype, shape, b"".join(part.data for part in parts))
    return joined


def split(outputs: Tensors, counts: Sequence[int]) -> list[dict[str, RawTensor]]:
    """The outputs of each request, given how many rows each brought; views, not copies.

    Raises NotDivisible.
    """
    if len(counts) == 1:
        return [dict(outputs)]
    total = sum(counts)
    found: list[dict[str, RawTensor]] = [{} for _ in counts]
    for name, whole in outputs.items():
        if not whole.shape or whole.shape[0] != total or whole.elements is not None:
            raise NotDivisible
        rest, row = whole.shape[1:], whole.nbytes // total
        view = memoryview(whole.data).cast("B")
        start = 0
        for each, count in zip(found, counts, strict=True):
            end = start + count * row
            each[name] = RawTensor(whole.datatype, (count, *rest), view[start:end])
            start = end
    return found


def _all(signature: ModelSignature) -> tuple[TensorSpec, ...]:
    return (*signature.inputs, *signature.outputs)


def _has_free_batch(spec: TensorSpec) -> bool:
    # Further free axes are measured at size 1, which would say little.
    return (
        spec.datatype != "BYTES"
        and bool(spec.shape)
        and spec.shape[0] == DYNAMIC
        and DYNAMIC not in spec.shape[1:]
    )


def _item(signature: ModelSignature, seed: int) -> dict[str, RawTensor]:
    """One item of made-up numbers: 0 and 1 for integers, which may be indices."""
    made: dict[str, RawTensor] = {}
    for spec in signature.inputs:
        shape = (1, *spec.shape[1:])
        waves = [math.sin(12.9898 * place + 78.233 * seed) for place in range(_PATTERN)]
        is_float = spec.datatype in FLOATS
        pattern = pack_numbers(spec.datatype, waves if is_float else [wave > 0 for wave in waves])
        size = math.prod(shape) * ELEMENT_BYTES[spec.datatype]
        data = (pattern * (size // len(pattern) + 1))[:size]
        made[spec.name] = RawTensor(spec.datatype, shape, data)
    return made


def _agree(alone: Tensors, together: Tensors) -> bool:
    return all(_close(tensor, together[name]) for name, tensor in alone.items())


def _close(one: RawTensor, other: RawTensor) -> bool:
    if one.shape != other.shape or one.datatype != other.datatype:
        return False
    first, second = _some(one), _some(other)
    if one.datatype == "BOOL":
        return first == second
    largest = max((abs(value) for value in first if value - value == 0), default=0.0)
    return all(
        a == b or abs(a - b) <= _SAME * largest or (a != a and b != b)
        for a, b in zip(first, second, strict=True)
    )


def _some(tensor: RawTensor) -> list[float]:
    size = min(_COMPARED * ELEMENT_BYTES[tensor.datatype], tensor.nbytes)
    count = size // ELEMENT_BYTES[tensor.datatype]
    return numbers(RawTensor(tensor.datatype, (count,), memoryview(tensor.data).cast("B")[:size]))
