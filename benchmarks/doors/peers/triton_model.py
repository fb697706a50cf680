"""Triton's Python backend around ONNX Runtime; runs in Triton's environment."""

import json

import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    """One model; Triton's documented interface."""

    def initialize(self, arguments):
        """Open the file that the model's configuration names."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        file = json.loads(arguments["model_config"])["parameters"]["file"]["string_value"]
        self.session = onnxruntime.InferenceSession(file, options)

    def execute(self, requests):
        """Answer one by one."""
        answers = []
        for request in requests:
            tensor = triton.get_input_tensor_by_name(request, "x").as_numpy()
            found = self.session.run(None, {"x": tensor})[0]
            answers.append(triton.InferenceResponse(output_tensors=[triton.Tensor("y", found)]))
        return answers
