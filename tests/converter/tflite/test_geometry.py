"""Windows of any geometry are placed where ONNX places them."""

from typing import Any

import numpy as np
import onnx
import pytest
from edgewright_converter.emit.tflite import write_tflite
from edgewright_converter.errors import UnsupportedOperator
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.converter.tflite.side_by_side import (
    RELATIVE_TOLERANCE,
    random_inputs,
    run_onnx,
    run_tflite,
    single,
)

SETTINGS = settings(
    max_examples=60,
    deadline=None,  # one example loads two runtimes; how long that takes says nothing here
    suppress_health_check=[HealthCheck.filter_too_much],
    derandomize=True,
)

MAY_REFUSE = (
    "wholly in the padding",  # such a window has no mean
    "is ambiguous",  # onnx and onnxruntime disagree
    "larger than the windows reach",
)


@st.composite
def geometries(draw: st.DrawFn, *, dilated: bool) -> dict[str, Any]:
    """Input sizes and the attributes of a window that fits them at least once."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilations = draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) if dilated else (1, 1)
    attributes: dict[str, Any] = {
        "kernel_shape": list(kernel),
        "strides": list(draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))),
    }
    if dilated:
        attributes["dilations"] = list(dilations)
    auto = draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if auto == "NOTSET":
        # Pads stay narrower than the window, as onnxruntime demands of pools.
        attributes["pads"] = [draw(st.integers(0, kernel[i % 2] - 1)) for i in range(4)]
    else:
        attributes["auto_pad"] = auto
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    sizes = [draw(st.integers(extent, extent + 6)) for extent in extents]
    return {"sizes": sizes, "attributes": attributes}


def _compare(model: onnx.ModelProto) -> None:
    """Passes where both agree, or where the writer refuses what it may."""
    inputs = random_inputs(model, 2)
    try:
        data = write_tflite(model)
    except UnsupportedOperator as refusal:
        assert any(reason in refusal.reason for reason in MAY_REFUSE), refusal
        return
    (expected,) = run_onnx(model, inputs).values()
    (actual,) = run_tflite(data, inputs).values()
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=RELATIVE_TOLERANCE * scale)


@SETTINGS
@given(geometries(dilated=True), st.sampled_from([(1, 3, 2), (2, 2, 4), (3, 1, 6)]))
def test_convolutions_agree(geometry: dict[str, Any], channels: tuple[int, int, int]) -> None:
    group, per_group, outputs = channels
    attributes = geometry["attributes"]
    # onnxruntime does not know how to pad dilated windows by itself.
    assume(
        not attributes.get("auto_pad", "").startswith("SAME") or attributes["dilations"] == [1, 1]
    )
    shape = (outputs, per_group, *geometry["attributes"]["kernel_shape"])
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    _compare(
        single(
            "Conv",
            {"x": ("n", group * per_group, *geometry["sizes"])},
            {"w": weights},
            group=group,
            **geometry["attributes"],
        )
    )


@SETTINGS
@given(geometries(dilated=False), st.booleans())
def test_maximum_pools_agree(geometry: dict[str, Any], ceil: bool) -> None:
    attributes = geometry["attributes"]
    assume(not (ceil and "auto_pad" in attributes))
    shape = ("n", 2, *geometry["sizes"])
    _compare(single("MaxPool", {"x": shape}, ceil_mode=int(ceil), **attributes))


@SETTINGS
@given(geometries(dilated=False), st.booleans(), st.booleans())
def test_average_pools_agree(geometry: dict[str, Any], ceil: bool, include: bool) -> None:
    attributes = geometry["attributes"]
    assume(not (ceil and "auto_pad" in attributes))
    shape = ("n", 2, *geometry["sizes"])
    model = single(
        "AveragePool",
        {"x": shape},
        ceil_mode=int(ceil),
        count_include_pad=int(include),
        opset=19,
        **attributes,
    )
    _compare(model)


@SETTINGS
@given(
    geometries(dilated=True),
    st.sampled_from([(1, 3), (2, 2)]),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_transposed_convolutions_agree(
    geometry: dict[str, Any], channels: tuple[int, int], extra: tuple[int, int]
) -> None:
    group, outputs = channels
    attributes = geometry["attributes"]
    assume(all(more < step for more, step in zip(extra, attributes["strides"], strict=True)))
    assume("auto_pad" not in attributes or attributes["dilations"] == [1, 1])
    shape = (4, outputs, *attributes["kernel_shape"])
    weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    model = single(
        "ConvTranspose",
        {"x": ("n", 4, *geometry["sizes"])},
        {"w": weights},
        group=group,
        output_padding=list(extra),
        **attributes,
    )
    _compare(model)


@pytest.mark.parametrize("pads", [[1, 1, 1, 1], [2, 0, 0, 2]])
def test_maximum_pool_of_negative_numbers_ignores_its_pads(pads: list[int]) -> None:
    model = single("MaxPool", {"x": ("n", 1, 6, 6)}, kernel_shape=[3, 3], pads=pads, strides=[2, 2])
    inputs = {"x": -1 - np.abs(random_inputs(model, 1)["x"])}
    (expected,) = run_onnx(model, inputs).values()
    (actual,) = run_tflite(write_tflite(model), inputs).values()
    np.testing.assert_array_equal(actual, expected)
