"""A machine that loses its power just before the n-th file is put in place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from edgewright_manifests import documents


class PowerCut(BaseException):
    """Nobody catches this."""


@contextmanager
def power_cut(monkeypatch: pytest.MonkeyPatch, *, before_write: int) -> Iterator[None]:
    """Fail the write with this number (from 0) inside the block; the block must reach it."""
    real = documents.write_atomically
    count = 0

    def write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
        nonlocal count
        if count == before_write:
            raise PowerCut
        count += 1
        real(path, data, mode=mode)

    with monkeypatch.context() as patched:
        patched.setattr(documents, "write_atomically", write)
        with pytest.raises(PowerCut):
            yield
