"""Probes: every tensor inside a model, sample by sample, on the engine that runs it."""

from edgewright_converter.quantize.probes.layer import Layer, Probe
from edgewright_converter.quantize.probes.onnx_probe import OnnxProbe
from edgewright_converter.quantize.probes.openvino_probe import OpenvinoProbe
from edgewright_converter.quantize.probes.tflite_probe import TfliteProbe

__all__ = ["Layer", "OnnxProbe", "OpenvinoProbe", "Probe", "TfliteProbe"]
