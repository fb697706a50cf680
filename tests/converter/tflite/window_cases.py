"""A table of one-node models with windows or sampling places."""

from typing import Any

from tests.converter.tflite.one_node import (
    IMAGE,
    SEQUENCE,
    Case,
    floats,
    ints,
    weights,
)
from tests.converter.tflite.side_by_side import Dims, single


def _convolutions() -> list[Case]:
    w, d, b = weights(5, 4, 3, 3), weights(4, 1, 3, 3), weights(5)
    return [
        Case("conv valid", single("Conv", IMAGE, {"w": w})),
        Case("conv bias", single("Conv", IMAGE, {"w": w, "b": b})),
        Case("conv same", single("Conv", IMAGE, {"w": w, "b": b}, pads=[1, 1, 1, 1])),
        Case("conv stride", single("Conv", IMAGE, {"w": w}, pads=[1, 1, 1, 1], strides=[2, 2])),
        Case("conv odd pads", single("Conv", IMAGE, {"w": w}, pads=[2, 0, 1, 3], strides=[2, 1])),
        Case("conv dilated", single("Conv", IMAGE, {"w": w}, dilations=[2, 3])),
        Case("conv dilated same", single("Conv", IMAGE, {"w": w}, dilations=[2, 2], pads=[2] * 4)),
        Case(
            "conv dilated and strided",
            single("Conv", IMAGE, {"w": w}, dilations=[2, 2], strides=[2, 2], pads=[2] * 4),
        ),
        Case("conv same upper", single("Conv", IMAGE, {"w": w}, auto_pad="SAME_UPPER")),
        Case(
            "conv same upper strided",
            single(
                "Conv", IMAGE, {"w": weights(5, 4, 2, 4)}, auto_pad="SAME_UPPER", strides=[3, 2]
            ),
        ),
        Case(
            "conv same lower",
            single("Conv", IMAGE, {"w": weights(5, 4, 2, 4)}, auto_pad="SAME_LOWER"),
        ),
        Case("conv auto valid", single("Conv", IMAGE, {"w": w}, auto_pad="VALID")),
        Case("conv groups", single("Conv", IMAGE, {"w": weights(6, 2, 3, 3)}, group=2)),
        Case("conv depthwise", single("Conv", IMAGE, {"w": d}, group=4, pads=[1, 1, 1, 1])),
        Case(
            "conv depthwise odd pads",
            single("Conv", IMAGE, {"w": d}, group=4, pads=[0, 1, 2, 0], strides=[2, 2]),
        ),
        Case(
            "conv depthwise multiplier",
            single("Conv", IMAGE, {"w": weights(12, 1, 3, 3), "b": weights(12)}, group=4),
        ),
        Case(
            "conv depthwise dilated",
            single("Conv", IMAGE, {"w": d}, group=4, dilations=[2, 2], pads=[2, 2, 2, 2]),
        ),
        Case("conv one channel", single("Conv", {"x": ("n", 1, 8, 8)}, {"w": weights(3, 1, 3, 3)})),
        Case("conv pointwise", single("Conv", IMAGE, {"w": weights(6, 4, 1, 1), "b": weights(6)})),
        Case("conv 1d", single("Conv", SEQUENCE, {"w": weights(5, 4, 3)}, pads=[1, 2])),
        Case("conv 1d depthwise", single("Conv", SEQUENCE, {"w": weights(4, 1, 3)}, group=4)),
        Case("conv 1d same", single("Conv", SEQUENCE, {"w": weights(5, 4, 3)}, pads=[1, 1])),
        Case(
            "conv 3d",
            single("Conv", {"x": ("n", 2, 5, 6, 4)}, {"w": weights(3, 2, 2, 3, 2)}, pads=[1] * 6),
        ),
        Case("conv fixed batch", single("Conv", {"x": (2, 4, 9, 7)}, {"w": w})),
        Case("conv opset 11", single("Conv", IMAGE, {"w": w}, opset=11)),
        Case("conv opset 22", single("Conv", IMAGE, {"w": w}, opset=22)),
    ]


def _transposed_convolutions() -> list[Case]:
    w = weights(4, 3, 3, 3)
    grouped = weights(4, 2, 3, 3)
    return [
        Case("deconv", single("ConvTranspose", IMAGE, {"w": w})),
        Case("deconv bias", single("ConvTranspose", IMAGE, {"w": w, "b": weights(3)})),
        Case("deconv stride", single("ConvTranspose", IMAGE, {"w": w}, strides=[2, 3])),
        Case(
            "deconv same",
            single(
                "ConvTranspose", IMAGE, {"w": weights(4, 3, 4, 4)}, strides=[2, 2], pads=[1] * 4
            ),
        ),
        Case(
            "deconv output padding",
            single(
                "ConvTranspose",
                IMAGE,
                {"w": w, "b": weights(3)},
                strides=[2, 2],
                pads=[1] * 4,
                output_padding=[1, 1],
            ),
        ),
        Case(
            "deconv output padding alone",
            single("ConvTranspose", IMAGE, {"w": w}, strides=[3, 2], output_padding=[2, 1]),
        ),
        Case("deconv uneven pads", single("ConvTranspose", IMAGE, {"w": w}, pads=[0, 2, 1, 0])),
        Case(
            "deconv output shape",
            single("ConvTranspose", IMAGE, {"w": w}, strides=[2, 2], output_shape=[18, 14]),
        ),
        Case(
            "deconv same upper",
            single("ConvTranspose", IMAGE, {"w": w}, strides=[2, 2], auto_pad="SAME_UPPER"),
        ),
        Case(
            "deconv same lower",
            single("ConvTranspose", IMAGE, {"w": w}, strides=[2, 2], auto_pad="SAME_LOWER"),
        ),
        Case("deconv groups", single("ConvTranspose", IMAGE, {"w": grouped}, group=2)),
        Case("deconv dilated", single("ConvTranspose", IMAGE, {"w": w}, dilations=[2, 1])),
        Case("deconv 1d", single("ConvTranspose", SEQUENCE, {"w": weights(4, 2, 3)}, strides=[2])),
        Case(
            "deconv fixed", single("ConvTranspose", {"x": (2, 4, 5, 5)}, {"w": w}, strides=[2, 2])
        ),
    ]


def _pools() -> list[Case]:
    cases = []
    poolings: dict[str, dict[str, Any]] = {
        "plain": {},
        "stride": {"strides": [2, 2]},
        "pads": {"pads": [1, 1, 1, 1]},
        "stride pads": {"strides": [2, 2], "pads": [1, 1, 1, 1]},
        "odd pads": {"strides": [2, 1], "pads": [1, 0, 0, 1]},
        "same upper": {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        "same lower": {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        "ceil": {"strides": [2, 2], "ceil_mode": 1},
        "ceil pads": {"strides": [2, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
        "wide pads": {"pads": [2, 2, 2, 2]},
    }
    for operator in ("MaxPool", "AveragePool"):
        for label, attributes in poolings.items():
            model = single(operator, IMAGE, kernel_shape=[3, 3], **attributes)
            cases.append(Case(f"{operator} {label}", model))
        cases.append(Case(f"{operator} 1d", single(operator, SEQUENCE, kernel_shape=[3])))
        cases.append(
            Case(f"{operator} even", single(operator, IMAGE, kernel_shape=[2, 2], strides=[2, 2]))
        )
    for label, ceil in {"": 0, " ceil": 1}.items():
        cases.append(
            Case(
                f"AveragePool include pads{label}",
                single(
                    "AveragePool",
                    IMAGE,
                    kernel_shape=[3, 3],
                    strides=[2, 2],
                    pads=[1, 1, 1, 1],
                    count_include_pad=1,
                    opset=19,
                    ceil_mode=ceil,
                ),
            )
        )
    volume: dict[str, Dims] = {"x": ("n", 2, 6, 5, 7)}
    for operator in ("MaxPool", "AveragePool"):
        cases.append(
            Case(
                f"{operator} dilated",
                single(
                    operator,
                    IMAGE,
                    kernel_shape=[2, 3],
                    dilations=[2, 2],
                    strides=[1, 2],
                    pads=[1, 1, 0, 1],
                    opset=19,
                ),
            )
        )
        cases.append(
            Case(
                f"{operator} 3d",
                single(operator, volume, kernel_shape=[2, 3, 2], strides=[2, 1, 2]),
            )
        )
    for p in (1, 2, 3):
        cases.append(
            Case(
                f"LpPool {p}",
                single("LpPool", IMAGE, kernel_shape=[3, 2], pads=[1, 0, 1, 1], p=p, opset=18),
            )
        )
        cases.append(Case(f"GlobalLpPool {p}", single("GlobalLpPool", IMAGE, p=p)))
    cases.append(Case("GlobalAveragePool", single("GlobalAveragePool", IMAGE)))
    cases.append(Case("GlobalAveragePool 1d", single("GlobalAveragePool", SEQUENCE)))
    cases.append(Case("GlobalMaxPool", single("GlobalMaxPool", IMAGE)))
    return cases


def _resizes() -> list[Case]:
    doubled = {"r": floats(), "s": floats(1, 1, 2, 2)}
    uneven = {"r": floats(), "s": floats(1, 1, 1.5, 0.7)}
    sized = {"r": floats(), "s": floats(), "z": ints(2, 4, 13, 5)}
    image: dict[str, Dims] = {"x": (2, 4, 9, 7)}
    modes = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    cases = [
        Case(
            f"Resize linear {mode}",
            single("Resize", IMAGE, doubled, mode="linear", coordinate_transformation_mode=mode),
        )
        for mode in modes
    ]
    for mode in modes:
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"):
            cases.append(
                Case(
                    f"Resize nearest {mode} {rounding}",
                    single(
                        "Resize",
                        image,
                        sized,
                        mode="nearest",
                        nearest_mode=rounding,
                        coordinate_transformation_mode=mode,
                    ),
                )
            )
    regions = {"r": floats(0, 0, 0.2, -0.1, 1, 1, 0.7, 1.2), "s": floats(), "z": ints(2, 4, 5, 6)}
    for mode in ("nearest", "linear", "cubic"):
        cases.append(
            Case(
                f"Resize {mode} of a region",
                single(
                    "Resize",
                    image,
                    regions,
                    mode=mode,
                    coordinate_transformation_mode="tf_crop_and_resize",
                    extrapolation_value=3.0,
                ),
            )
        )
    for exclude in (0, 1):
        cases.append(
            Case(
                f"Resize cubic exclude {exclude}",
                single("Resize", IMAGE, uneven, mode="cubic", exclude_outside=exclude),
            )
        )
    for policy in ("not_larger", "not_smaller"):
        cases.append(
            Case(
                f"Resize {policy}",
                single(
                    "Resize",
                    image,
                    {"r": floats(), "s": floats(), "z": ints(12, 20)},
                    mode="linear",
                    axes=[2, 3],
                    keep_aspect_ratio_policy=policy,
                    opset=18,
                ),
            )
        )
    return [
        *cases,
        Case("Resize channels", single("Resize", IMAGE, {"r": floats(), "s": floats(1, 2, 1, 1)})),
        Case("Resize doubled", single("Resize", IMAGE, doubled)),
        Case("Resize uneven", single("Resize", IMAGE, uneven)),
        Case("Resize sized linear", single("Resize", image, sized, mode="linear")),
        Case(
            "Resize axes",
            single("Resize", IMAGE, {"r": floats(), "s": floats(2, 3)}, axes=[2, 3], opset=18),
        ),
        Case("Upsample", single("Upsample", IMAGE, {"s": floats(1, 1, 2, 3)}, opset=9)),
        Case(
            "Upsample linear",
            single("Upsample", IMAGE, {"s": floats(1, 1, 2, 2)}, opset=9, mode="linear"),
        ),
        Case("Resize opset 10", single("Resize", IMAGE, {"s": floats(1, 1, 2, 2)}, opset=10)),
    ]


WINDOW_CASES = (*_convolutions(), *_transposed_convolutions(), *_pools(), *_resizes())
