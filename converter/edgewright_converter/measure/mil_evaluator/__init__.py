"""Runs a written Core ML package without Core ML, from the MIL specification.

It shares no line with the writer (`emit/coreml` is never imported): it reads the protobuf and the
weight file as they were saved and computes operation by operation in numpy.
"""

from edgewright_converter.measure.mil_evaluator.session import PLACEMENT, MilSession, open_package

__all__ = ["PLACEMENT", "MilSession", "open_package"]
