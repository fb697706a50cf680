"""Every activation of an OpenVINO model, by OpenVINO."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgewright_converter.quantize.probes.layer import Layer
from edgewright_converter.samples import Tensor

_ROUNDED = "/fq_output_0"
"""NNCF's name for the FakeQuantize behind a layer."""


class OpenvinoProbe:
    """An IR, float or int8, with every layer's first output made an output of the model."""

    def __init__(self, path: Path) -> None:
        import openvino

        model = openvino.Core().read_model(path)
        self._inputs = {value.get_any_name(): i for i, value in enumerate(model.inputs)}
        computed = [
            operation
            for operation in model.get_ordered_ops()
            if operation.get_type_name() not in ("Parameter", "Result", "Constant")
            and operation.output(0).get_element_type() == openvino.Type.f32
            and not _is_constant(operation)
        ]
        self._names = [operation.get_friendly_name() for operation in computed]
        self.layers = tuple(_merge([_layer(operation) for operation in computed]))
        if computed:
            model.add_outputs([(name, 0) for name in self._names])
        # What is an output already is not added again, and several may be of one layer.
        self._outputs = {
            value.get_node().input_value(0).get_node().get_friendly_name(): index
            for index, value in enumerate(model.outputs)
        }
        self._request = openvino.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_NUM_THREADS": 1,
                # In FP32 whatever the processor offers, as the engine computes.
                "INFERENCE_PRECISION_HINT": "f32",
                # FakeQuantize as it is written: with integer kernels OpenVINO 2026.4 gives zeros
                # for a convolution whose output is an output of the model too.
                "LP_TRANSFORMS_MODE": "NO",
            },
        ).create_infer_request()

    def read(self, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every FP32 activation for one sample, inputs included."""
        self._request.infer({self._inputs[name]: value for name, value in sample.items()})
        found = {name: value for name, value in sample.items() if value.dtype == np.float32}
        for name in self._names:
            tensor = self._request.get_output_tensor(self._outputs[name])
            found[name] = np.array(tensor.data)  # a copy: the next inference writes there again
        rounded = {
            name.removesuffix(_ROUNDED): value
            for name, value in found.items()
            if name.endswith(_ROUNDED)
        }
        return found | rounded


def _layer(operation: Any) -> Layer:  # Any: openvino ships no types
    name = operation.get_friendly_name()
    inputs = tuple(value.get_node().get_friendly_name() for value in operation.input_values())
    return Layer(name, operation.get_type_name(), inputs, (name,))


def _merge(layers: list[Layer]) -> list[Layer]:
    """`X/WithoutBiases` and what else OpenVINO made of one ONNX node belongs to its last, `X`."""
    names = {layer.name for layer in layers}
    parts: dict[str, list[Layer]] = {}
    for layer in layers:
        owner, _, rest = layer.name.rpartition("/")
        parts.setdefault(owner if rest and owner in names else layer.name, []).append(layer)
    return [
        Layer(
            owner,
            group[0].operator,
            tuple(dict.fromkeys(name for layer in group for name in layer.inputs)),
            tuple(layer.name for layer in group),
        )
        for owner, group in parts.items()
    ]


def _is_constant(operation: Any) -> bool:  # Any: as above
    """Decompressed and dequantized weights: computed from constants alone."""
    pending = [operation]
    while pending:
        for value in pending.pop().input_values():
            node = value.get_node()
            if node.get_type_name() == "Parameter":
                return False
            pending.append(node)
    return True
