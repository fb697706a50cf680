"""JAX functions through `edgewright convert`."""

from pathlib import Path

import numpy as np
import pytest

from tests.converter.command import Convert
from tests.converter.doors.opening import answers, needs
from tests.converter.networks import save_samples

pytestmark = needs("jax", "jax2onnx")

ROOT = Path(__file__).resolve().parents[3]
MODELS = "tests.converter.doors.jax_models"
TARGETS = [word for t in ("onnx", "openvino", "tflite") for word in ("--target", t)]


@pytest.mark.parametrize(
    ("function", "name", "item", "outputs"),
    [
        ("mlp", "features", (16,), ["output_0"]),
        ("convolution", "image", (8, 8, 3), ["logits", "probabilities"]),
    ],
)
def test_a_function_becomes_a_bundle_with_its_own_names(
    convert: Convert,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    name: str,
    item: tuple[int, ...],
    outputs: list[str],
) -> None:
    monkeypatch.chdir(ROOT)
    values = np.random.default_rng(0).standard_normal((32, *item)).astype(np.float32)
    samples = save_samples(tmp_path / "s.npz", **{name: values})
    done = convert(Path(f"{MODELS}:{function}"), "--calibration", samples, *TARGETS)
    assert done.status == 0, done
    assert not any("fixed" in line or "worked" in line for line in done.warnings), done.warnings
    assert list(answers(convert.out, tmp_path, {name: values[:2]})) == outputs


def test_an_array_is_no_function(convert: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    told = convert.must_refuse(Path(f"{MODELS}:_KERNEL"))
    assert "neither a PyTorch nn.Module nor a JAX function" in told
