"""The TFLite door: a `.tflite` file as an ONNX model."""

from edgewright_converter.frontend.tflite.reader import computes_in_integers, read_tflite

__all__ = ["computes_in_integers", "read_tflite"]
