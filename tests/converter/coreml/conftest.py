"""Everything here needs coremltools, which is an extra."""

import gc
from collections.abc import Iterator

import pytest

pytest.importorskip("coremltools", reason="the extra edgewright-converter[coreml]")


@pytest.fixture(scope="package", autouse=True)
def quick_collections() -> Iterator[None]:
    """coremltools collects garbage in every conversion; what was there before need not be seen."""
    gc.freeze()
    yield
    gc.unfreeze()
