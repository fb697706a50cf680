"""A peer's file called as the source model is: names, layout and element types put right.

Peers rename, reorder and transpose inputs and outputs by rules of their own. What their inputs
take is done before the clock runs: a caller of that file would hold its data so from the start.
"""

import re
from collections.abc import Mapping

import numpy as np
from edgewright_converter.errors import ConverterError
from edgewright_converter.samples import Samples, Tensor
from edgewright_manifests.signature import DYNAMIC, ModelSignature, TensorSpec
from edgewright_manifests.tensors import NUMPY_DTYPES
from edgewright_runtime.engine import Session

_DECORATION = re.compile(r"^serving_default_|(:\d+)+$|[^A-Za-z0-9]")


class Misfit(ConverterError):
    """An input or output of the source that the file does not have in any layout."""


class Adapted:
    """A Session over `session` that takes and gives what the source model does."""

    def __init__(self, session: Session, source: ModelSignature) -> None:
        self._session = session
        self.signature = source
        self.placement = session.placement

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by the source's names and in its layout. Raises Misfit."""
        left = self._session.run(self.prepared(inputs))
        found = {}
        for spec in self.signature.outputs:
            same = [name for name in left if _plain(name) == _plain(spec.name)]
            for name in same or list(left):
                value = _as_source(left[name], spec)
                if value is not None:
                    found[spec.name] = value.astype(NUMPY_DTYPES[spec.datatype])
                    del left[name]
                    break
            else:
                raise Misfit(f"it has no output of the shape of {spec.name!r}")
        return found

    def prepared(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The arrays that the file takes. Raises Misfit."""
        left = dict(inputs)
        found = {}
        for spec in self._session.signature.inputs:
            same = [name for name in left if _plain(name) == _plain(spec.name)]
            for name in same or list(left):
                value = _as_artifact(left[name], spec)
                if value is not None:
                    found[spec.name] = np.ascontiguousarray(value, NUMPY_DTYPES[spec.datatype])
                    del left[name]
                    break
            else:
                raise Misfit(f"its input {spec.name!r} fits none of the source's")
        return found

    def close(self) -> None:
        """See `Session.close`."""
        self._session.close()

    def ready(self, samples: Samples) -> "Ready":
        """For the clock, with these samples as the file takes them."""
        return Ready(self._session, [self.prepared(row) for row in samples])


class Ready:
    """A Session that takes {"row": [i]} and runs the i-th of inputs that were prepared."""

    def __init__(self, session: Session, rows: list[dict[str, Tensor]]) -> None:
        self._session, self._rows = session, rows
        self.signature, self.placement = session.signature, session.placement

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the file answers to that row."""
        return self._session.run(self._rows[int(inputs["row"][0])])

    def close(self) -> None:
        """See `Session.close`."""
        self._session.close()


def _plain(name: str) -> str:
    return _DECORATION.sub("", name)


def _as_artifact(value: Tensor, spec: TensorSpec) -> Tensor | None:
    """`value` as it is or with its channels last, whichever the file declares."""
    forms = [value]
    if value.ndim > 2:
        forms.append(value.transpose(0, *range(2, value.ndim), 1))
    return next((form for form in forms if _fits(form.shape, spec.shape)), None)


def _as_source(value: Tensor, spec: TensorSpec) -> Tensor | None:
    """`value` as it is, with its channels in front, or without axes of one."""
    forms = [value]
    if value.ndim > 2:
        forms.append(value.transpose(0, value.ndim - 1, *range(1, value.ndim - 1)))
    for form in forms:
        if _fits(form.shape, spec.shape):
            return form
    if DYNAMIC not in spec.shape[1:] and value.size == np.prod(spec.shape[1:], dtype=np.int64):
        return value.reshape(1, *spec.shape[1:])
    return None


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        want in (DYNAMIC, have) for have, want in zip(shape, wanted, strict=True)
    )
