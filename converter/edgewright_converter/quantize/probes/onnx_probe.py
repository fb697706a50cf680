"""Every activation of an ONNX model, by ONNX Runtime."""

from collections.abc import Mapping

import numpy as np
import onnx

from edgewright_converter.quantize.probes.layer import Layer
from edgewright_converter.samples import Tensor

_REBUILT = "_DequantizeLinear_Output"
"""onnxruntime.quantization: X -> X_QuantizeLinear_Output -> X_DequantizeLinear_Output."""


class OnnxProbe:
    """An ONNX model, float or QDQ, with everything computed made an output of the graph."""

    def __init__(self, data: bytes) -> None:
        import onnxruntime

        model = onnx.load_model_from_string(data)
        constants = {tensor.name for tensor in model.graph.initializer}
        self.layers = tuple(
            Layer(node.output[0], node.op_type, tuple(node.input), (node.name,))
            for node in model.graph.node
            if node.output[0] and node.op_type != "Constant"
        )
        named = {value.name for value in model.graph.output}
        # Dequantized weights are constants too, and as large as all weights in float.
        fixed = {
            node.output[0]
            for node in model.graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in constants
        }
        model.graph.output.extend(
            onnx.ValueInfoProto(name=name)
            for node in model.graph.node
            for name in node.output
            if name and name not in named | fixed
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # with more, the order of float additions is not fixed
        options.log_severity_level = 4
        # As written: fused nodes have no tensors between them.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._names = [value.name for value in self._session.get_outputs()]

    def read(self, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every FP32 activation for one sample, inputs included."""
        values = zip(self._names, self._session.run(None, dict(sample)), strict=True)
        found = {
            name: value
            for name, value in (*sample.items(), *values)
            if getattr(value, "dtype", None) == np.float32
        }
        rebuilt = {
            name.removesuffix(_REBUILT): value
            for name, value in found.items()
            if name.endswith(_REBUILT)
        }
        return found | rebuilt
