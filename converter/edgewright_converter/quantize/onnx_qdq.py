"""Static QDQ quantization of ONNX models: onnxruntime's quantizer, our ranges.

The library's own percentile and entropy hold all activations of all samples (2 GB for 30
pictures of a 20 MB model); its Cython-free histograms took 127 s where ours take 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_names import name_nodes
from edgewright_converter.quantize.onnx_tail import open_tail, tail_of
from edgewright_converter.quantize.probes.onnx_probe import OnnxProbe
from edgewright_converter.quantize.ranges import Method, Ranges, collect_ranges


@dataclass(frozen=True, slots=True)
class Quantized:
    """The float model as it was quantized, and the result, with their tensors' names equal."""

    prepared: bytes
    data: bytes


def quantize_qdq(
    folder: Path,
    model: bytes,
    feed: CalibrationFeed,
    *,
    ranges: Method,
    per_channel: bool,
    symmetric: bool = False,
    float_tail: bool = False,
    extra_options: Mapping[str, Any] | None = None,  # Any: onnxruntime ships no types
    **options: Any,
) -> Quantized:
    """quantize_static in QDQ form, u8 activations and s8 weights unless `options` say otherwise.

    `symmetric` puts 0 in the middle of ranges that have both signs; `float_tail` leaves what
    comes behind the last weights as it is.

    Raises one of `library_errors()`.
    """
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    source, prepared, quantized, cache = (folder / name for name in ("s", "p", "q", "ranges.json"))
    source.write_bytes(name_nodes(model))
    # Symbolic shape inference needs sympy and helps transformers only.
    quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
    plain = name_nodes(prepared.read_bytes())
    prepared.write_bytes(plain)
    found = collect_ranges(OnnxProbe(plain), feed, ranges)
    _write_ranges({name: _centered(r) if symmetric else r for name, r in found.items()}, cache)
    tail = tail_of(plain) if float_tail else []
    options["nodes_to_exclude"] = [*options.get("nodes_to_exclude", ()), *tail]
    # onnxruntime 1.31 cannot adjust the scales of a per-channel vector for its bias
    # ("truth value of an array", Magika); without that step it quantizes the model.
    for adjust in ({}, {"QDQDisableWeightAdjustForInt32Bias": True}):
        try:
            quantize_static(
                str(prepared),
                str(quantized),
                None,
                quant_format=QuantFormat.QDQ,
                per_channel=per_channel,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                calibration_cache_path=str(cache),
                extra_options={**(extra_options or {}), **adjust},
                **({"activation_type": QuantType.QUInt8} | options),
            )
            break
        except ValueError as error:
            if adjust or "truth value" not in str(error):
                raise
    return Quantized(plain, open_tail(quantized.read_bytes(), tail))


def library_errors() -> tuple[type[Exception], ...]:
    """What onnxruntime and its quantizer raise when they cannot; the library's own have no base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as own

    return (
        ValueError, RuntimeError, LookupError, TypeError, AttributeError, AssertionError,
        own.Fail, own.InvalidGraph, own.InvalidArgument, own.NotImplemented, own.RuntimeException,
    )  # fmt: skip  # Python's, then the library's


def _centered(ends: tuple[float, float]) -> tuple[float, float]:
    """A range with 0 in its middle where there are both signs; it stays where there is one."""
    low, high = ends
    if low >= 0 or high <= 0:
        return ends
    # 255 steps with the zero point at 128: one more of them below zero than above.
    step = max(-low / 128, high / 127)
    return -128 * step, 127 * step


def _write_ranges(ranges: Ranges, path: Path) -> None:
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorData, TensorsData, save_tensors_data

    entries = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in ranges.items()
    }
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, entries), path)
