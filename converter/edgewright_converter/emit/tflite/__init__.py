"""ONNX -> TFLite, operator by operator, without TensorFlow."""

from edgewright_converter.emit.tflite.writer import write_tflite

__all__ = ["write_tflite"]
