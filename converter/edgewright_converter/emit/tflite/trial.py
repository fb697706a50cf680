"""Loads and runs a written file once, so that what LiteRT refuses is refused at conversion, by
name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgewright_converter.emit.tflite.emission import TARGET
from edgewright_converter.errors import TargetRefused, UnsupportedOperator
from edgewright_converter.graph.model import Graph

_NODE = re.compile(r"Node number (\d+) \((\w+)\)")


def try_model(data: bytes, origin: Callable[[int], str], graph: Graph) -> None:
    """Runs the file on zeros (ones, where integers may index) with batch 1 and, where dynamic,
    batch 2.

    `origin` gives the ONNX node of an operator's place in the file.

    Raises:
        UnsupportedOperator: LiteRT's kernel of an operator does not take what the node needs.
        TargetRefused: LiteRT does not take the file for a reason that it does not tie to an
            operator.
    """
    try:
        # Without the XNNPACK delegate: its rewriting would hide which operator failed.
        interpreter = Interpreter(
            model_content=data,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        batches = (1, 2) if any(not graph.types[name].is_static for name in graph.inputs) else (1,)
        for batch in batches:
            details = interpreter.get_input_details()
            for detail in details:
                sizes = [batch if size == -1 else size for size in detail["shape_signature"]]
                interpreter.resize_tensor_input(detail["index"], sizes, strict=True)
            interpreter.allocate_tensors()
            for detail in interpreter.get_input_details():
                zeros = np.zeros(detail["shape"], detail["dtype"])
                interpreter.set_tensor(detail["index"], zeros)
            interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        found = _NODE.search(str(error))
        reason = "LiteRT does not run it: " + " ".join(str(error).split())
        if found is None:
            raise TargetRefused(TARGET, f"{reason}; leave the target {TARGET} out") from error
        place, operator = int(found[1]), found[2]
        raise UnsupportedOperator(
            target=TARGET, operator=operator, node=origin(place), reason=reason
        ) from error
