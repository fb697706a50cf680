"""The `coreml` target's artifacts: a zipped ML Program, float32, float16, or with int8 weights."""

from __future__ import annotations

import onnx

from edgewright_converter.candidate import Artifact
from edgewright_converter.emit.coreml.availability import TARGET
from edgewright_converter.emit.coreml.compression import quantize_weights
from edgewright_converter.emit.coreml.package import FILE_NAME
from edgewright_converter.emit.coreml.writer import write_coreml
from edgewright_converter.errors import ConverterError, TargetRefused

FP16_RECIPE = "coremltools fp16"
INT8_RECIPE = "coremltools linear int8 weights, fp16 activations"


def emit_coreml(data: bytes) -> Artifact:
    """The float artifact, from ONNX bytes. Raises TargetRefused."""
    return Artifact(TARGET, "float", "float", ((FILE_NAME, _package(data, fp16=False)),))


def emit_coreml_fp16(data: bytes) -> Artifact:
    """The float16 artifact, from ONNX bytes. Raises TargetRefused."""
    return Artifact(TARGET, "fp16", FP16_RECIPE, ((FILE_NAME, _package(data, fp16=True)),))


def emit_coreml_int8(data: bytes) -> Artifact:
    """Like fp16, with the weights in int8, symmetric per output channel.

    Raises TargetRefused, and what `quantize_weights` raises.
    """
    package = quantize_weights(_package(data, fp16=True))
    return Artifact(TARGET, "int8", INT8_RECIPE, ((FILE_NAME, package),))


def _package(data: bytes, *, fp16: bool) -> bytes:
    try:
        return write_coreml(onnx.load_model_from_string(data), fp16=fp16)
    except TargetRefused:
        raise
    except ConverterError as error:
        raise TargetRefused(TARGET, str(error)) from error
