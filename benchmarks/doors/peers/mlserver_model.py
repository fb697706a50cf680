"""MLServer's custom runtime around ONNX Runtime; runs in MLServer's environment."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class OnnxModel(MLModel):
    """One model; MLServer's documented interface."""

    async def load(self):
        """Open the file of the model's settings."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(self.settings.parameters.uri, options)
        return True

    async def predict(self, payload):
        """Answer one request."""
        tensor = NumpyCodec.decode_input(payload.inputs[0])
        found = self.session.run(None, {"x": tensor})[0]
        output = NumpyCodec.encode_output("y", found)
        return InferenceResponse(model_name=self.name, outputs=[output])
