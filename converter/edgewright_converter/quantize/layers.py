"""Which layers INT8 hurts: each activation of the quantized model against the float model's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgewright_converter.candidate import LayerError
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.probes.layer import Layer, Probe
from edgewright_converter.samples import Samples

COMPARED_SAMPLES = 8
_WITH_WEIGHTS = {
    "onnx": {"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN", "Gather"},
    "tflite": {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "GATHER"},
    "openvino": {"Convolution", "GroupConvolution", "ConvolutionBackpropData", "LSTMSequence"},
}
"""Operators with weights, in each format's words; a name of one means the same in the others."""
_CEILING_DB = 120.0
"""Equal to FP32's last digits; keeps infinity out of reports."""
_LOST = 1e12
"""Noise over signal where nothing is left: -120 dB."""


@dataclass(frozen=True, slots=True)
class HurtLayer:
    """One layer and what it adds to the error."""

    error: LayerError
    nodes: tuple[str, ...]
    """What to leave out of quantization to have this layer in float; fused ones together."""
    added: float
    """Its noise-to-signal ratio less the largest of its inputs'."""


def few(calibration: Samples) -> CalibrationFeed:
    """The samples that layers are compared on."""
    count = min(calibration.count, COMPARED_SAMPLES)
    return CalibrationFeed(calibration.take(range(count), calibration.origin))


def rank_layers(plain: Probe, quantized: Probe, feed: CalibrationFeed) -> tuple[HurtLayer, ...]:
    """All layers whose output is in both models, those first that add the most error.

    Signal and noise are summed over `feed`. A tensor that the quantized model no longer has
    (an activation function fused with what it follows) belongs to the layer that reads it.
    """
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    for sample in feed:
        wanted, found = plain.read(sample), quantized.read(sample)
        for name in wanted.keys() & found.keys():
            if wanted[name].shape == found[name].shape:
                exact = wanted[name].astype(np.float64)
                signal[name] = signal.get(name, 0.0) + float(np.sum(exact**2))
                noise[name] = noise.get(name, 0.0) + float(np.sum((exact - found[name]) ** 2))
    # A mask of minus infinity has no ratio; what became infinite has the largest one.
    ratio = {
        name: float(np.nan_to_num(noise[name] / max(power, 1e-30), nan=_LOST, posinf=_LOST))
        for name, power in signal.items()
        if np.isfinite(power)
    }
    makers = {layer.name: layer for layer in plain.layers}
    hurt = []
    for layer in plain.layers:
        if layer.name not in ratio:
            continue
        group = _fused(layer, makers, ratio.keys())
        own = {node for part in group for node in part.nodes}
        before = [
            ratio[name]
            for part in group
            for name in part.inputs
            if name in ratio and name not in own
        ]
        hurt.append(
            HurtLayer(
                LayerError(
                    layer.name, "+".join(part.operator for part in reversed(group)),
                    round(_decibels(ratio[layer.name]), 2), kept_float=False,
                ),
                tuple(node for part in group for node in part.nodes),
                ratio[layer.name] - max(before, default=0.0),
            )
        )  # fmt: skip  # what is told, what is left out, what ranks
    return tuple(sorted(hurt, key=lambda item: -item.added))


def layer_errors(ranked: Sequence[HurtLayer], kept: Collection[int]) -> tuple[LayerError, ...]:
    """The figures, lowest SQNR first; those at the places `kept` of `ranked` are marked float."""
    marked = [replace(item.error, kept_float=place in kept) for place, item in enumerate(ranked)]
    return tuple(sorted(marked, key=lambda error: error.sqnr_db))


def with_weights(ranked: Sequence[HurtLayer]) -> tuple[HurtLayer, ...]:
    """The layers that have weights: where only those are integers, no other can be kept."""
    known = set().union(*_WITH_WEIGHTS.values())
    return tuple(item for item in ranked if known.intersection(item.error.operator.split("+")))


def _fused(layer: Layer, makers: dict[str, Layer], known: Collection[str]) -> list[Layer]:
    """The layer, and those before it that have no output in the quantized model."""
    group, pending = [layer], [layer]
    while pending:
        for name in pending.pop().inputs:
            maker = makers.get(name)
            if maker is not None and name not in known and maker not in group:
                group.append(maker)
                pending.append(maker)
    return group


def _decibels(noise_to_signal: float) -> float:
    return float(min(_CEILING_DB, -10 * np.log10(max(noise_to_signal, 1e-30))))
