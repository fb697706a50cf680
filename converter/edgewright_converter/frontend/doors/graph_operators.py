"""Refuses a SavedModel whose graph reaches outside itself when it is loaded or run.

What runs is what leads to the signature's outputs, to the initializers, and to the saver's
restoring operator, functions included; the saver's writing half never does. An operator may run
when TensorFlow's own registry says that it only computes (no state, no text taken or given, no text
among its attributes that could name a place), when tf2onnx writes it as ONNX, or when it is one of
those that hold variables and call functions. Everything else is refused, so a new operator that
reads files needs no new line here. Names of nodes play no part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import tf2onnx.onnx_opset  # noqa: F401  # registers the handlers that `tf_op` lists
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # has no types
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry
from tf2onnx.handler import tf_op

from edgewright_converter.errors import ModelFileError

_INITIALIZER = "__saved_model_init_op"
_INITIALIZERS = ("saved_model_main_op", "legacy_init_op")
_RESTORES = "RestoreV2"
_HOLDS = ("VarHandleOp", "VariableV2", "HashTableV2", "MutableHashTableV2")
_KNOWN = frozenset(
    {
        *_HOLDS, "ReadVariableOp", "AssignVariableOp", "VarIsInitializedOp", "VariableShape",
        "DisableCopyOnRead", "GuaranteeConst", "ResourceGather", "ResourceGatherNd", "DeviceIndex",
        "LookupTableFindV2", "LookupTableSizeV2", "LookupTableImportV2", "InitializeTableV2",
        "PartitionedCall", "StatefulPartitionedCall", "If", "While", "Case", "Enter", "Assert",
        "PreventGradient", "DataFormatVecPermute", "DataFormatDimMap", "TruncatedNormal",
        "TensorArrayV3", "TensorArrayReadV3", "TensorArrayWriteV3", "TensorArrayGatherV3",
        "TensorArrayScatterV3", "TensorArraySizeV3", "TensorArraySplitV3", "TensorArrayConcatV3",
    }
)  # fmt: skip  # state that lives in memory, calls, and text that names no place

_Node = Any  # the protobuf message NodeDef: TensorFlow's stubs are absent where it is


def check_operators(model: Path, signature: str) -> None:
    """Raise ModelFileError for a graph that would reach outside itself when it runs."""
    try:
        saved = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelFileError(
            model, "its saved_model.pb is damaged, or cannot be read", "copy it again"
        ) from error
    for meta in saved.meta_graphs:
        found = _Running(meta).foreign(signature)
        if found is not None:
            raise ModelFileError(
                model,
                f"its node {found.name!r} ({found.op}) reaches outside the model, or may",
                "save the model without it",
            )


class _Running:
    """What runs of one graph."""

    def __init__(self, meta: Any) -> None:  # meta: the protobuf message MetaGraphDef
        self._meta = meta
        self._nodes: Mapping[str, _Node] = {node.name: node for node in meta.graph_def.node}
        self._functions = {f.signature.name: f for f in meta.graph_def.library.function}

    def foreign(self, signature: str) -> _Node | None:
        """The first node that runs and is not known to stay inside."""
        for node in self._bodies(self._leading_to(self._wanted(signature))):
            if not self._stays_inside(node):
                return node
        saver = self._meta.saver_def
        path = _producer(saver.filename_tensor_name)
        restoring = list(self._leading_to([saver.restore_op_name], stop=path))
        for node in restoring:
            if node.op == _RESTORES and _producer(node.input[0]) == path:
                continue
            if self._restores(node, path):
                continue
            for inner in self._bodies([node]):
                if not self._stays_inside(inner):
                    return inner
        return None

    def _wanted(self, signature: str) -> Iterator[str]:
        for name in (signature, _INITIALIZER):
            if name in self._meta.signature_def:
                outputs = self._meta.signature_def[name].outputs
                yield from (info.name for info in outputs.values())
        for key in _INITIALIZERS:
            if key in self._meta.collection_def:
                yield from self._meta.collection_def[key].node_list.value

    def _leading_to(self, names: Iterable[str], *, stop: str = "") -> Iterator[_Node]:
        waiting, seen = [_producer(name) for name in names], {stop, ""}
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._nodes:
                continue
            seen.add(name)
            yield self._nodes[name]
            waiting.extend(_producer(entry) for entry in self._nodes[name].input)

    def _bodies(self, nodes: Iterable[_Node]) -> Iterator[_Node]:
        """These nodes, and those of every function that they call."""
        waiting, seen = deque(nodes), set()
        while waiting:
            node = waiting.popleft()
            yield node
            for function in self._called(node):
                if function.signature.name not in seen:
                    seen.add(function.signature.name)
                    waiting.extend(function.node_def)

    def _stays_inside(self, node: _Node) -> bool:
        return node.op in self._functions or node.op in _KNOWN or _only_computes(node.op)

    def _called(self, node: _Node) -> list[Any]:
        """The functions (FunctionDef) that a node runs."""
        names = [node.op]
        for value in node.attr.values():
            names += [value.func.name, *(function.name for function in value.list.func)]
        return [self._functions[name] for name in names if name in self._functions]

    def _restores(self, node: _Node, path: str) -> bool:
        """Whether a call gets the path of the variables and no other, and restores from that."""
        called = self._called(node)
        given = [_producer(entry) for entry in node.input if not entry.startswith("^")]
        if len(called) != 1 or path not in given:
            return False
        holders = [self._nodes[name].op in _HOLDS for name in given if name in self._nodes]
        if len(holders) != len(given) or sum(not holds for holds in holders) != 1:
            return False
        place = called[0].signature.input_arg[given.index(path)].name
        return all(
            inner.input[0] == place
            if inner.op == _RESTORES
            else self._stays_inside(inner) and not self._called(inner)
            for inner in called[0].node_def
        )


def _producer(name: str) -> str:
    """The node that a tensor (`node:0`) or a control input (`^node`) comes from."""
    return name.removeprefix("^").partition(":")[0]


@cache
def _only_computes(operator: str) -> bool:
    if any(operator in names for opsets in tf_op.get_opsets().values() for names in opsets):
        return True
    definition = op_def_registry.get(operator)
    if definition is None or definition.is_stateful:
        return False
    arguments = (*definition.input_arg, *definition.output_arg)
    return not any(argument.type == types_pb2.DT_STRING for argument in arguments) and not any(
        attribute.type in ("string", "list(string)") and not attribute.HasField("allowed_values")
        for attribute in definition.attr
    )
