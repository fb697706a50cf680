"""INT8 for the `openvino` target, made as an ONNX file and read by OpenVINO."""

from dataclasses import dataclass, replace
from pathlib import Path

from edgewright_manifests.variant import Precision

from edgewright_converter.candidate import RecipeSource
from edgewright_converter.errors import RecipeFailed
from edgewright_converter.openvino_ir import save_ir
from edgewright_converter.quantize.calibration import CalibrationFeed
from edgewright_converter.quantize.onnx_names import name_nodes
from edgewright_converter.quantize.onnx_qdq import library_errors, quantize_qdq
from edgewright_converter.quantize.onnx_weights import compress_weights
from edgewright_converter.quantize.ranges import Method
from edgewright_converter.quantize.recipes.library_recipe import Files, LibraryRecipe
from edgewright_converter.quantize.recipes.nncf_ptq import openvino_errors


@dataclass(frozen=True, slots=True)
class OpenvinoFromQdq(LibraryRecipe):
    """ONNX Runtime's static u8s8 file, read by OpenVINO.

    2.15x float on EfficientNet-Lite0, where NNCF's own files were 1.7 to 2.0x; all sums and
    activation functions are in integers, too.
    """

    target = "openvino"
    reads_samples = True

    ranges: Method
    symmetric: bool = False
    """Activations of both signs get a range with 0 in its middle, which costs less to compute."""

    @property
    def name(self) -> str:
        """For example `onnxruntime static u8s8 per-channel minmax, read by openvino`."""
        middle = " symmetric" if self.symmetric else ""
        return f"onnxruntime static u8s8 per-channel {self.ranges}{middle}, read by openvino"

    @property
    def kernels(self) -> str:
        """The same whatever the ranges and biases."""
        return replace(self, ranges="minmax").name

    @property
    def precision(self) -> Precision:
        """Integer weights and activations."""
        return "int8"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Quantize the opset-17 form of the source, and convert that."""
        assert feed is not None
        made = quantize_qdq(
            folder,
            self.quantizable(source),
            feed,
            ranges=self.ranges,
            per_channel=True,
            symmetric=self.symmetric,
            float_tail=True,
            # OpenVINO keeps biases in float; an integer one costs five operations of text.
            extra_options={"QuantizeBias": False},
        )
        # LSTM's weights stay in float: beside quantized activations OpenVINO 2026.4 refuses others.
        return _read_by_openvino(made.data, folder)

    def library_errors(self) -> tuple[type[Exception], ...]:
        """ONNX Runtime's and OpenVINO's own, too."""
        return (*library_errors(), *openvino_errors())


@dataclass(frozen=True, slots=True)
class OpenvinoFromWeights(LibraryRecipe):
    """Weights in INT8 per output channel, arithmetic in float, LSTM's weights included.

    NNCF compresses those of MatMul and convolutions only: Silero's file keeps 59 % of its bytes
    there, and 28 % here.
    """

    target = "openvino"
    reads_samples = False

    @property
    def name(self) -> str:
        """As for ONNX Runtime."""
        return "int8 weights per-channel, read by openvino"

    @property
    def precision(self) -> Precision:
        """Integer weights."""
        return "int8"

    def quantize(self, source: RecipeSource, feed: CalibrationFeed | None, folder: Path) -> Files:
        """Store the weights of the opset-17 form as integers, and convert that."""
        made, count = compress_weights(name_nodes(self.quantizable(source)))
        if count == 0:
            raise RecipeFailed(self.name, "the model has no large weights")
        return _read_by_openvino(made, folder)

    def library_errors(self) -> tuple[type[Exception], ...]:
        """OpenVINO's own, too."""
        return openvino_errors()


def _read_by_openvino(data: bytes, folder: Path) -> Files:
    import openvino

    file = folder / "quantized.onnx"
    file.write_bytes(data)
    return save_ir(openvino.convert_model(file), folder)
