"""KServe's model server around ONNX Runtime; runs in KServe's environment.

Arguments: HTTP port, gRPC port, model files.
"""

import sys
from pathlib import Path

import onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer


class OnnxModel(Model):
    """One model; KServe's documented interface."""

    def __init__(self, file):
        """Open the file."""
        super().__init__(Path(file).stem)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(file, options)
        self.ready = True

    async def predict(self, payload, headers=None, response_headers=None):
        """Answer one request."""
        found = self.session.run(None, {"x": payload.inputs[0].as_numpy()})[0]
        output = InferOutput("y", list(found.shape), "FP32")
        output.set_data_from_numpy(found, binary_data=bool(payload.use_binary_outputs))
        return InferResponse(payload.id or "", self.name, [output])


if __name__ == "__main__":
    http, grpc, *files = sys.argv[1:]
    server = ModelServer(
        http_port=int(http),
        grpc_port=int(grpc),
        workers=1,
        enable_docs_url=False,
        access_log_format=None,
    )
    server.start([OnnxModel(file) for file in files])
