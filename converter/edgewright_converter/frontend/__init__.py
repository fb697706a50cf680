"""Reads models, as ONNX; the only room that looks into the source file."""

from edgewright_converter.frontend.doors import open_model
from edgewright_converter.frontend.input_size import fix_sizes
from edgewright_converter.frontend.onnx_file import OnnxSource, read_onnx
from edgewright_converter.frontend.rewrite import Rewrite, raise_opset, simplify

__all__ = [
    "OnnxSource",
    "Rewrite",
    "fix_sizes",
    "open_model",
    "raise_opset",
    "read_onnx",
    "simplify",
]
