"""Replaces operators that a writer lacks by their definition in the ONNX specification.

Some operators are defined by a function of simpler ones (Mish, Swish, CastLike, Shrink ...): the
definition is normative, so what a writer makes of it is what the operator means.
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx.shape_inference
from onnx import helper, inliner

from edgewright_converter.graph.control_flow import unroll_control_flow

# Definitions use operators that have definitions themselves; none nests deeper.
_ROUNDS = 6
# Computed once where its inputs are known, and of unknown length where they are not.
_KEPT = frozenset({"Range"})


def expand_functions(
    model: onnx.ModelProto, is_written: Callable[[str, int], bool]
) -> onnx.ModelProto:
    """The model with local functions and operators that `is_written` denies replaced, and the
    control flow taken out that can be.

    `is_written` is asked with an operator and the opset that defined its form. Operators without a
    definition stay, for the writer to refuse.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    for _ in range(_ROUNDS):
        model = unroll_control_flow(model)
        wanted = _replaceable(model, is_written)
        if not wanted:
            break
        pairs = [("", operator) for operator in sorted(wanted)]
        try:
            model = inliner.inline_selected_functions(
                _typed(model), pairs, inline_schema_functions=True
            )
        except (RuntimeError, onnx.shape_inference.InferenceError):
            break  # a definition that depends on a type nobody knows; the writer refuses the node
    return model


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the types that some definitions depend on written beside the values."""
    typed = onnx.shape_inference.infer_shapes(model)
    known = {value.name for value in (*typed.graph.input, *typed.graph.value_info)}
    for tensor in typed.graph.initializer:
        if tensor.name not in known:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            typed.graph.value_info.append(value)
    return typed


def _replaceable(model: onnx.ModelProto, is_written: Callable[[str, int], bool]) -> set[str]:
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    found = set()
    for node in model.graph.node:
        if (
            node.domain not in ("", "ai.onnx")
            or node.op_type in _KEPT
            or not onnx.defs.has(node.op_type, opset, "")
        ):
            continue
        schema = onnx.defs.get_schema(node.op_type, opset, "")
        # onnx's type stubs lack these two properties.
        defined = getattr(schema, "has_function") or getattr(  # noqa: B009
            schema, "has_context_dependent_function"
        )
        if defined and not is_written(node.op_type, schema.since_version):
            found.add(node.op_type)
    return found
