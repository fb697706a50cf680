"""ONNX -> Core ML (ML Program), operator by operator, without PyTorch or TensorFlow."""

from edgewright_converter.emit.coreml.artifact import (
    FP16_RECIPE,
    INT8_RECIPE,
    emit_coreml,
    emit_coreml_fp16,
    emit_coreml_int8,
)
from edgewright_converter.emit.coreml.availability import coreml_problem
from edgewright_converter.emit.coreml.compression import quantize_weights
from edgewright_converter.emit.coreml.writer import write_coreml

__all__ = [
    "FP16_RECIPE",
    "INT8_RECIPE",
    "coreml_problem",
    "emit_coreml",
    "emit_coreml_fp16",
    "emit_coreml_int8",
    "quantize_weights",
    "write_coreml",
]
