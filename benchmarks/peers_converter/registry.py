"""Who is compared: a name, its target, its script, and the environment it runs in."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.variant import Target

from benchmarks.environments import environment

OURS = "edgewright"
FLOAT = "edgewright float"
"""What ours measures itself against, and so does the table."""
SCRIPTS = Path(__file__).with_name("scripts")


@dataclass(frozen=True, slots=True)
class Needs:
    """An environment of its own: packages, and the Python they ask for ("" is ours)."""

    name: str
    packages: tuple[str, ...]
    python: str = ""

    def interpreter(self) -> str:
        """Its Python, installed where it is not yet. Raises CalledProcessError, FileNotFoundError
        (no such Python).
        """
        python = self.python or sys.executable
        return str(environment(self.name, self.packages, python=python) / "bin/python")


@dataclass(frozen=True, slots=True)
class Peer:
    """One column of the comparison; `is_float`: it is compared with our float file."""

    name: str
    target: Target
    script: str
    made: str
    """The file it leaves in its folder."""
    needs: Needs | None = None
    """None: our own environment, which has the same library at the same version."""
    is_float: bool = False

    def interpreter(self) -> str:
        """The Python that runs its script."""
        return sys.executable if self.needs is None else self.needs.interpreter()


# onnx2tf 2 asks for Python 3.12 and pins sixteen packages by ==.
_ONNX2TF = Needs("onnx2tf", ("onnx2tf==2.6.9",), "python3.12")
# Olive imports requests, which none of its requirements brings.
_OLIVE = Needs("olive", ("olive-ai==0.13.0", "onnxruntime==1.31.1", "onnx==1.23.2", "requests"))
_ONNXSIM = Needs(
    "onnxsim",
    ("onnxsim==0.8.1", "onnxruntime==1.31.1", "coremltools==9.0", "tensorflow-cpu==2.21.0"),
)

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("onnxruntime default", "onnx", "onnxruntime_static.py", "model.onnx"),
        Peer("Olive default", "onnx", "olive_static.py", "model.onnx", _OLIVE),
        Peer("NNCF default", "openvino", "nncf_default.py", "model.xml"),
        Peer("ai-edge-quantizer default", "tflite", "ai_edge_default.py", "model.tflite"),
        Peer("onnx2tf int8", "tflite", "onnx2tf_int8.py", "model.tflite", _ONNX2TF),
        Peer("onnx2tf dynamic int8", "tflite", "onnx2tf_dynamic.py", "model.tflite", _ONNX2TF),
        Peer("onnx2tf float32", "tflite", "onnx2tf_float.py", "model.tflite", _ONNX2TF, True),
        Peer("onnxsim float32", "tflite", "onnxsim_tflite.py", "model.tflite", _ONNXSIM, True),
        # Core ML's own default is fp16, as ours is.
        Peer("onnxsim", "coreml", "onnxsim_coreml.py", "model.mlpackage", _ONNXSIM),
    )
}
"""Another library is one script and one line here."""

TARGETS: tuple[Target, ...] = ("onnx", "openvino", "tflite", "coreml")
"""TensorRT has no engine here, so a file for it can be compared with nothing."""
