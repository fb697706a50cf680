"""What the tests of the doors share: which frameworks are here, and the float variant's answers."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.golden import snr_db
from edgewright_runtime.engine import open_session
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.generic]]


def needs(*packages: str) -> list[pytest.MarkDecorator]:
    """Marks of a test module that converts with these packages: long, and skipped without them."""
    missing = [package for package in packages if find_spec(package) is None]
    reason = f"needs {', '.join(missing)}; deploy/test-doors.sh makes environments that have them"
    return [
        pytest.mark.long,
        pytest.mark.timeout(900),
        pytest.mark.skipif(bool(missing), reason=reason),
    ]


def answers(out: Path, folder: Path, inputs: Arrays) -> Arrays:
    """What the bundle's onnx variant answers, each sample as a batch of one, stacked."""
    entry = next(e for e in open_bundle(out).entries if e.variant.target == "onnx")
    path = folder / "shipped.onnx"
    path.write_bytes(entry.read_layer("model.onnx"))
    session = open_session("onnx", path, threads=1)
    try:
        count = len(next(iter(inputs.values())))
        found = [
            session.run({name: value[i : i + 1] for name, value in inputs.items()})
            for i in range(count)
        ]
    finally:
        session.close()
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def agreement_db(wanted: Arrays, found: Arrays, names: Sequence[str]) -> float:
    """SNR of these outputs."""
    return snr_db({name: wanted[name] for name in names}, {name: found[name] for name in names})
