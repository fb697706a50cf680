"""One converted form of a model: its files, what it was measured to be, where it may run."""

from typing import Literal

from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.signature import ModelSignature

Target = Literal["onnx", "openvino", "tflite", "coreml", "tensorrt"]
TARGETS: tuple[Target, ...] = ("onnx", "openvino", "tflite", "coreml", "tensorrt")
Precision = Literal["float", "fp16", "int8", "mixed"]


class ArtifactFile(Document, frozen=True):
    """One file of a variant, by the name under which the engine wants to find it."""

    name: str
    digest: Digest
    size_bytes: int


class Tolerance(Document, frozen=True):
    """How near the golden vectors' outputs a variant must come, on whatever machine it runs.

    `None` where a measure does not apply. Integer kernels differ between processors, so
    these are floors with a margin below what the converter measured, never equality.
    """

    min_snr_db: float | None = None
    """Signal to noise against the float model's outputs, over all samples of all outputs."""
    min_top1_agreement: float | None = None
    """Share of samples (0..1) whose arg-max equals the float model's."""
    min_accuracy: float | None = None
    """Share of labelled samples (0..1) whose arg-max is the label."""


class MetricFigure(Document, frozen=True):
    """What one metric of the converter measured: `cer`, `map:boxes=b`, `module:function`."""

    name: str
    value: float
    value_float: float | None = None
    """The float model's own, where the metric compares with the truth and not with float."""
    better: Literal["higher", "lower"] = "higher"
    unit: Literal["share", "dB", ""] = ""
    """`share` is 0..1."""


class GroupFigure(Document, frozen=True):
    """The held-out samples of one class or slice; shares are 0..1."""

    facet: str
    """`class`, `slices`, or the name of an array `slice.<name>` of the samples."""
    group: str
    samples: int
    share_float: float
    """Right answers of the float model; without labels the variant's agreement over all."""
    share: float
    """Right answers of the variant; without labels its agreement with the float model."""
    noise: float
    """Standard error of the difference."""


class Quality(Document, frozen=True):
    """What was measured on held-out samples; shares are 0..1."""

    samples: int
    snr_db: float | None = None
    top1_agreement: float | None = None
    accuracy: float | None = None
    accuracy_float: float | None = None
    metrics: tuple[MetricFigure, ...] = ()
    """What was asked for beyond these."""
    worst_group: GroupFigure | None = None
    """The class or slice that lost most beyond noise, of those large enough to tell."""


class Constraints(Document, frozen=True):
    """What a device must be for this variant to run there; empty means any."""

    architectures: tuple[str, ...] = ()
    """`uname -m` words: x86_64, aarch64."""
    min_memory_bytes: int = 0
    tensorrt: str = ""
    """Least version of TensorRT that builds the engine, as `10.0`."""
    jetpack: str = ""
    """Least JetPack (NVIDIA Jetson) that has it, as `6.1`."""
    sm: tuple[str, ...] = ()
    """GPU architectures (CUDA compute capability), as `8.7`."""


class Variant(Document, frozen=True):
    """One artifact for one target. `files[0]` is the one that the engine opens."""

    model: str
    version: str
    target: Target
    precision: Precision
    recipe: str
    """How it was quantized, in the library's own words: `onnxruntime static u8s8 minmax`."""
    signature: ModelSignature
    files: tuple[ArtifactFile, ...]
    quality: Quality
    tolerance: Tolerance
    claimed: bool = False
    """True when a person stated the figures (`bundle assemble`) and no converter measured them."""
    constraints: Constraints = Constraints()
    preprocessing: Preprocessing | None = None
    """How raw samples became the inputs, where the converter was told."""

    @property
    def id(self) -> str:
        """`<target>-<precision>`, unique in a bundle."""
        return f"{self.target}-{self.precision}"
