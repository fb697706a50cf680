"""One artifact that may ship, and what was measured of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from edgewright_manifests.variant import Precision, Quality, Target

from edgewright_converter.samples import Samples


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files of one variant, by name; the first is the one that the engine opens."""

    target: Target
    precision: Precision
    recipe: str
    files: tuple[tuple[str, bytes], ...]
    kernels: str = ""
    """Artifacts of one target with equal kernels differ in numbers only and are equally fast,
    so that their latencies are one measurement; "" where nothing is known to be equal."""
    left_out_bytes: int = 0
    """Contents that `without_contents` left out."""

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return self.left_out_bytes + sum(len(data) for _, data in self.files)

    def without_contents(self) -> "Artifact":
        """The same with empty files, for whoever keeps many: of most only figures are wanted."""
        empty = tuple((name, b"") for name, _ in self.files)
        return replace(self, files=empty, left_out_bytes=self.size_bytes)

    def write(self, folder: Path) -> Path:
        """Write the files into `folder` (made if needed) and give the path to open."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files:
            (folder / name).write_bytes(data)
        return folder / self.files[0][0]


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall time of one inference, batch 1, one thread, in microseconds."""

    us_p50: float
    us_p90: float
    runs: int
    ratio_to_float: float
    """Median over rounds of (this / float model of the same target, same round); the
    interleaving takes out what else the machine did meanwhile."""


@dataclass(frozen=True, slots=True)
class LayerError:
    """What INT8 costs one layer, measured on calibration samples inside the quantized model."""

    name: str
    """The layer's output tensor, in the words of the target's float file."""
    operator: str
    sqnr_db: float
    """Power of the float tensor over the power of its difference from the quantized one."""
    kept_float: bool
    """True where the artifact computes this layer in float because of that."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An artifact with its figures on held-out samples."""

    artifact: Artifact
    quality: Quality
    latency: Latency | None
    """None where nothing on this machine can run the target."""
    predictions: tuple[int, ...]
    """Arg-max per held-out sample where the model classifies, else empty."""
    layers: tuple[LayerError, ...] = ()
    """Worst first; empty where the recipe has no activations to compare."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A recipe that gave no usable artifact, and why."""

    precision: Precision
    recipe: str
    reason: str


class Recipe(Protocol):
    """One way to make a smaller artifact for one target."""

    @property
    def name(self) -> str:
        """The library's own words: `onnxruntime static u8s8 per-channel minmax`."""

    @property
    def precision(self) -> Precision:
        """What the weights and activations become."""

    @property
    def needs_calibration(self) -> bool:
        """Whether it looks at samples."""

    def build(self, source: "RecipeSource", calibration: Samples | None) -> Artifact:
        """Make it. Raises RecipeFailed with the library's reason."""


@dataclass(frozen=True, slots=True)
class RecipeSource:
    """What recipes start from."""

    float_artifact: Artifact
    quantizable_onnx: bytes | None
    """The source at opset 17 or newer, for libraries that quantize ONNX."""
    quantizable_problem: str
    """Why `quantizable_onnx` is None; else empty."""
    source_onnx: bytes
    """What the float artifact was written from, for recipes that write it again."""
