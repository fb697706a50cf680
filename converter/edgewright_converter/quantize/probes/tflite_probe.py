"""Every activation of a TFLite model, by LiteRT."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgewright_converter.quantize.probes.layer import Layer
from edgewright_converter.samples import Tensor


class TfliteProbe:
    """A TFLite model, float or int8, in an interpreter that keeps all tensors."""

    def __init__(self, data: bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(
            model_content=data, experimental_preserve_all_tensors=True, num_threads=1
        )
        self._interpreter.allocate_tensors()
        self._tensors: list[dict[str, Any]] = [  # Any: LiteRT ships no types
            detail for detail in self._interpreter.get_tensor_details() if detail["name"]
        ]
        names = {detail["index"]: detail["name"] for detail in self._tensors}
        self._run = self._interpreter.get_signature_runner()
        # No public call lists the operators.
        operators = self._interpreter._get_ops_details()
        self.layers = tuple(
            Layer(
                names[operator["outputs"][0]],
                operator["op_name"],
                tuple(names[i] for i in operator["inputs"] if i in names),
                (names[operator["outputs"][0]],),
            )
            for operator in operators
            if operator["op_name"] != "DELEGATE" and operator["outputs"][0] in names
        )
        self._made = {layer.name for layer in self.layers}

    def read(self, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every activation for one sample, inputs included; integers times their scale."""
        self._run(**sample)
        found = {name: value for name, value in sample.items() if value.dtype == np.float32}
        for detail in self._tensors:
            if detail["name"] not in self._made:
                continue
            value = self._interpreter.get_tensor(detail["index"])
            scale, zero_point = detail["quantization"]
            if value.dtype == np.float32:
                found[detail["name"]] = value
            elif scale:
                found[detail["name"]] = np.float32(scale) * (
                    value.astype(np.float32) - np.float32(zero_point)
                )
        return found
