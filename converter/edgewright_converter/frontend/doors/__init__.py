"""Brings models of other frameworks in as ONNX, each in a child process, compared with itself."""

from edgewright_converter.frontend.doors.launch import open_model

__all__ = ["open_model"]
