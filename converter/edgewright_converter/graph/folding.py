"""Puts what is constant around a convolution into its weights.

BatchNormalization and products and sums with constants per channel after Conv and ConvTranspose,
and before a Conv that does not pad. Fewer operators run; and where a sum in front shifts all
channels away from zero, the convolution no longer adds up large terms that cancel, which is where
float32 loses most. New weights are computed in float64.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from edgewright_converter.graph.model import Array, Graph, Node, TensorType

_SUMS = {"Add": 1.0, "Sub": -1.0}


@dataclass(frozen=True, slots=True)
class _Affine:
    """x scale + shift, both [channels] in float64."""

    scale: Array
    shift: Array


def fold_affine(graph: Graph) -> Graph:
    """The graph with constant factors and terms moved into the weights of convolutions."""
    folding = _Folding(graph)
    while folding.sweep():
        pass
    return folding.graph()


class _Folding:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._nodes: list[Node] = list(graph.nodes)
        self._constants = dict(graph.constants)
        self._types = dict(graph.types)

    def graph(self) -> Graph:
        """What is left; the graph itself where nothing was found."""
        if len(self._nodes) == len(self._graph.nodes):
            return self._graph
        return replace(
            self._graph,
            nodes=tuple(self._nodes),
            constants=self._constants,
            types=self._types,
        )

    def sweep(self) -> bool:
        """Folds what can be folded now; whether anything could."""
        uses = Counter(name for node in self._nodes for name in node.inputs if name)
        uses.update(self._graph.outputs)
        producers = {name: node for node in self._nodes for name in node.outputs}
        for place, node in enumerate(self._nodes):
            source = producers.get(node.inputs[0]) if node.inputs else None
            if node.operator != "Conv" or source is None:
                source = self._computed(node, producers)
            if source is None or uses[source.outputs[0]] != 1:
                continue
            merged = self._after(source, node) or self._before(source, node)
            if merged is None:
                continue
            self._nodes[place] = merged
            self._nodes = [kept for kept in self._nodes if kept is not source]
            return True
        return False

    def _computed(self, node: Node, producers: Mapping[str, Node]) -> Node | None:
        """What computes the only input that is no constant."""
        names = [name for name in node.inputs if name and name not in self._constants]
        return producers.get(names[0]) if len(names) == 1 else None

    def _after(self, conv: Node, node: Node) -> Node | None:
        if conv.operator not in ("Conv", "ConvTranspose"):
            return None
        affine, weights = self._affine(node), self._weights(conv)
        if affine is None or weights is None:
            return None
        kernel, bias = weights
        if conv.operator == "Conv":
            shape = (-1, *[1] * (kernel.ndim - 1))
            kernel = kernel * affine.scale.reshape(shape)
        else:
            # [inputs, outputs / group, ...]: the outputs of each group by its own factors.
            group = conv.integer("group", 1)
            parts = zip(np.split(kernel, group), np.split(affine.scale, group), strict=True)
            shape = (1, -1, *[1] * (kernel.ndim - 2))
            kernel = np.concatenate([part * scale.reshape(shape) for part, scale in parts])
        bias = bias * affine.scale + affine.shift
        return self._rewritten(conv, conv.inputs[0], kernel, bias, node.outputs)

    def _before(self, node: Node, conv: Node) -> Node | None:
        if conv.operator != "Conv" or conv.inputs[0] not in node.outputs:
            return None
        affine, weights = self._affine(node), self._weights(conv)
        if affine is None or weights is None:
            return None
        padded = any(conv.integers("pads") or ()) or conv.text("auto_pad", "NOTSET") not in (
            "NOTSET",
            "VALID",
        )
        if padded and affine.shift.any():
            return None  # the pads are zeros after the sum, not before
        kernel, bias = weights
        group = conv.integer("group", 1)
        shape = (1, -1, *[1] * (kernel.ndim - 2))
        grown, added = [], []
        for part, scale, shift in zip(
            *(np.split(array, group) for array in (kernel, affine.scale, affine.shift)), strict=True
        ):
            grown.append(part * scale.reshape(shape))
            added.append((part * shift.reshape(shape)).reshape(len(part), -1).sum(axis=1))
        source = next(name for name in node.inputs if name not in self._constants)
        kernel, bias = np.concatenate(grown), bias + np.concatenate(added)
        return self._rewritten(conv, source, kernel, bias, conv.outputs)

    def _weights(self, conv: Node) -> tuple[Array, Array] | None:
        """Kernel and bias in float64; None where they are computed or no float32."""
        names = [name for name in conv.inputs[1:] if name]
        if any(name not in self._constants for name in names):
            return None
        kernel = self._constants[conv.inputs[1]]
        if kernel.dtype != np.float32 or not np.isfinite(kernel).all():
            return None
        group = conv.integer("group", 1)
        outputs = kernel.shape[0] if conv.operator == "Conv" else kernel.shape[1] * group
        if kernel.shape[0] % group:
            return None
        has_bias = len(conv.inputs) > 2 and conv.inputs[2]
        bias = self._constants[conv.inputs[2]].reshape(-1) if has_bias else np.zeros(outputs)
        return kernel.astype(np.float64), bias.astype(np.float64)

    def _affine(self, node: Node) -> _Affine | None:
        """The node as one factor and one term per channel (axis 1); None where it is more."""
        type_ = self._types.get(node.outputs[0])
        if type_ is None or type_.rank < 3 or type_.shape[1] is None:
            return None
        channels = type_.shape[1]
        constants = [self._constants.get(name) for name in node.inputs]
        if node.operator == "BatchNormalization":
            return self._normalization(node, constants[1:])
        if node.operator not in ("Add", "Sub", "Mul", "Div") or len(constants) != 2:
            return None
        known = constants[1] if constants[1] is not None else constants[0]
        if known is None or (constants[1] is None and node.operator in ("Sub", "Div")):
            return None
        source = node.inputs[0] if constants[0] is None else node.inputs[1]
        if self._types[source].shape != type_.shape or known.dtype != np.float32:
            return None
        values = _per_channel(known.astype(np.float64), type_, channels)
        if values is None:
            return None
        one, zero = np.ones(channels), np.zeros(channels)
        if node.operator in _SUMS:
            return _Affine(one, values * _SUMS[node.operator])
        if node.operator == "Div" and not values.all():
            return None
        return _Affine(values if node.operator == "Mul" else 1 / values, zero)

    def _normalization(self, node: Node, parameters: list[Array | None]) -> _Affine | None:
        if len(parameters) != 4 or node.integer("training_mode", 0) or len(node.outputs) > 1:
            return None
        if not node.integer("spatial", 1):
            return None
        known = [part.astype(np.float64).reshape(-1) for part in parameters if part is not None]
        if len(known) != 4:
            return None
        scale, bias, mean, variance = known
        factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
        return _Affine(factor, bias - mean * factor)

    def _rewritten(
        self, conv: Node, source: str, kernel: Array, bias: Array, outputs: tuple[str, ...]
    ) -> Node | None:
        """The convolution with other weights; None where float32 does not hold them."""
        names = []
        for what, array in (("weight", kernel), ("bias", bias)):
            narrow = array.astype(np.float32)
            if not np.isfinite(narrow).all():
                return None
            name = f"{outputs[0]}.{what}"
            while name in self._types:
                name += "'"
            self._constants[name] = narrow
            self._types[name] = TensorType.static(narrow.shape, narrow.dtype)
            names.append(name)
        return replace(conv, inputs=(source, *names), outputs=outputs)


def _per_channel(values: Array, type_: TensorType, channels: int) -> Array | None:
    """A constant as [channels], where it differs along the channels at most."""
    if values.size == 1 and values.ndim <= type_.rank:
        return np.full(channels, values.reshape(()))
    lifted = values.reshape((1,) * (type_.rank - values.ndim) + values.shape)
    if lifted.shape != (1, channels, *[1] * (type_.rank - 2)):
        return None
    return lifted.reshape(-1)
