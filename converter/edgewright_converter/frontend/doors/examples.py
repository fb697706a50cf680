"""Example inputs for a model: the first samples, or numbers of the size that was asked for."""

from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from edgewright_converter.annotations import LABELS, RAW, is_annotation
from edgewright_converter.errors import ConverterError
from edgewright_converter.frontend.doors.original import DoorInput
from edgewright_converter.frontend.doors.task import DoorTask
from edgewright_converter.samples import Tensor, Tensors

COUNT = 4
"""Enough to see a batch axis that is fixed or mixed up; one conversion compares all of them."""
_SEED = 20240229
_MAX_ELEMENTS = 1 << 27


def read_examples(task: DoorTask) -> Tensors:
    """The arrays that the parent took from the samples; nothing where there are none."""
    if not task.examples:
        return {}
    with np.load(task.examples, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def input_names(task: DoorTask, given: Tensors) -> tuple[str, ...]:
    """The names that could be inputs, for models that do not name theirs."""
    return tuple(n for n in given or task.sizes if n != LABELS and not n.startswith(RAW))


def fit_examples(task: DoorTask, inputs: Sequence[DoorInput], given: Tensors) -> dict[str, Tensor]:
    """Per input an array [examples, ...] of its own dtype.

    Raises ConverterError when names, shapes or types do not fit, or nothing tells a size.
    """
    if not given:
        return _numbers(task, inputs)
    names = [spec.name for spec in inputs]
    arrays = {n: v for n, v in given.items() if n in names or not is_annotation(n, names)}
    if not arrays:  # raw samples only
        return _numbers(task, inputs)
    required = {spec.name for spec in inputs if not spec.optional}
    if set(arrays) - set(names) or required - set(arrays):
        raise ConverterError(
            f"{task.samples}: has the arrays {sorted(arrays)}, but {task.model} takes {names}; "
            "save each array under its input's name"
        )
    return {s.name: _fit(task, s, arrays[s.name]) for s in inputs if s.name in arrays}


def _fit(task: DoorTask, spec: DoorInput, value: Tensor) -> Tensor:
    if spec.item is not None:
        rank = len(spec.item) + 1
        if value.ndim == rank + 1 and value.shape[1] == 1:
            value = value.reshape(value.shape[0], *value.shape[2:])
        if value.ndim != rank or any(
            want not in (None, have) for want, have in zip(spec.item, value.shape[1:], strict=True)
        ):
            shape = ["any" if size is None else size for size in spec.item]
            raise ConverterError(
                f"{task.samples}: array {spec.name!r} has samples of shape "
                f"{list(value.shape[1:])}, {Path(task.model).name} takes "
                f"[{', '.join(map(str, shape))}]; stack such samples on the first axis"
            )
    # Where a model names no type it is the array's, and numpy's habit of float64 is no model's.
    dtype = np.dtype(np.float32) if spec.dtype is None else spec.dtype
    is_double = value.dtype == np.float64 and spec.dtype is None
    if is_double or (spec.dtype is not None and not np.can_cast(value.dtype, dtype, "safe")):
        raise ConverterError(
            f"{task.samples}: array {spec.name!r} is {value.dtype}, which does not fit into the "
            f"model's {dtype} without loss; store it with .astype({str(dtype)!r})"
        )
    return value if spec.dtype is None else value.astype(spec.dtype)


def _numbers(task: DoorTask, inputs: Sequence[DoorInput]) -> dict[str, Tensor]:
    names = [spec.name for spec in inputs]
    unknown = sorted(set(task.sizes) - set(names))
    if unknown:
        raise ConverterError(
            f"--input-shape {unknown[0]}: {task.model} has no such input; it has {names}"
        )
    wanted = [s for s in inputs if not s.optional or s.name in task.sizes]
    return {spec.name: _numbers_for(task, spec, task.sizes) for spec in wanted}


def _numbers_for(task: DoorTask, spec: DoorInput, sizes: Mapping[str, tuple[int, ...]]) -> Tensor:
    item: tuple[int | None, ...] | None = sizes[spec.name][1:] if spec.name in sizes else spec.item
    fixed = tuple(size for size in item or () if size is not None)
    if item is None or len(fixed) != len(item):
        raise ConverterError(
            f"{task.model}: nothing says how large its input {spec.name!r} is; give samples "
            f"(--calibration F.npz), or --input-shape {spec.name}=1,3,224,224"
        )
    if (spec.dtype is not None and spec.dtype.kind != "f") or prod(fixed) > _MAX_ELEMENTS:
        raise ConverterError(
            f"{task.model}: input {spec.name!r} is {spec.dtype} {list(fixed)}, for which no random "
            "numbers make sense; give real samples with --evaluate"
        )
    values = np.random.default_rng(_SEED).standard_normal((COUNT, *fixed))
    return values.astype(spec.dtype or np.float32)
