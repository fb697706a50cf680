"""The report of one conversion, typed; report.json is its encoding."""

from typing import Literal

from edgewright_manifests.digest import Digest
from edgewright_manifests.documents import Document
from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import GroupFigure, Precision, Quality, Target, Tolerance


class SourceFacts(Document, frozen=True):
    """The model that was given."""

    file: str
    digest: Digest
    size_bytes: int
    opset: int
    producer: str
    operators: tuple[tuple[str, int], ...]
    notes: tuple[str, ...]
    """What was done to it before conversion, and what could not be done."""


class SampleFacts(Document, frozen=True):
    """One set of samples."""

    origin: str
    digest: Digest
    samples: int
    labelled: bool
    facets: tuple[str, ...] = ()
    """By what the samples are sliced, besides their classes."""
    truth: bool = False
    """Whether they say what is right, for metrics that take more than a class."""
    raw: tuple[str, ...] = ()
    """Inputs of which there are the samples before pre-processing."""


class DataFacts(Document, frozen=True):
    """What was calibrated with and measured on."""

    calibration: SampleFacts | None
    evaluation: SampleFacts
    split: str
    """How the two were kept apart."""
    synthetic: bool
    golden_samples: int
    golden_digest: Digest


class GateFacts(Document, frozen=True):
    """What a quantized variant had to keep; shares are 0..1."""

    max_accuracy_drop: float
    min_top1_agreement: float
    min_snr_db: float
    max_slice_drop: float = 1.0
    max_latency_ms: float | None = None
    max_size_bytes: int | None = None
    metrics: tuple[str, ...] = ()
    """As they were written: `cer<=0.02`. Where there are any, agreement and SNR are no gates."""


class LatencyFacts(Document, frozen=True):
    """Batch 1, one thread, on the machine that converted. Microseconds."""

    us_p50: float
    us_p90: float
    runs: int
    speed_up: float
    """Float latency / this latency, each round compared with its neighbours."""


class LayerFacts(Document, frozen=True):
    """What quantization costs one layer, measured inside the quantized model."""

    name: str
    operator: str
    sqnr_db: float
    """Power of the float tensor over the power of its difference from the quantized one."""
    kept_float: bool


class CandidateReport(Document, frozen=True):
    """One recipe that was tried."""

    recipe: str
    precision: Precision
    outcome: Literal["shipped", "lost", "failed"]
    reason: str
    """Why it lost or failed; empty for the one that ships."""
    size_bytes: int | None = None
    quality: Quality | None = None
    latency: LatencyFacts | None = None
    layers: tuple[LayerFacts, ...] = ()
    """Worst first; empty where the recipe has no activations to compare."""


class Difference(Document, frozen=True):
    """One held-out sample, by its place among them, as float and what ships answer it."""

    sample: int
    label: int | None
    changed: bool
    """Whether the answer is another one; False too where the model does not classify."""
    answer_float: str
    answer: str
    snr_db: float
    """Of this sample's outputs."""


class TargetReport(Document, frozen=True):
    """One target: what ships, or why nothing does."""

    target: Target
    outcome: Literal["shipped", "refused"]
    reason: str
    """Why it was refused, or why float ships where int8 was looked for; else empty."""
    placement: str = ""
    """What really ran it, as the library says."""
    shipped: str = ""
    """The variant's id."""
    tolerance: Tolerance | None = None
    candidates: tuple[CandidateReport, ...] = ()
    """Float first, then the recipes in the order in which they were tried."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """[right class][given class], counts over the held-out samples, of what ships."""
    changed: tuple[int, ...] = ()
    """Per class: held-out samples whose answer differs from the float model's."""
    groups: tuple[GroupFigure, ...] = ()
    """Classes and slices, of what ships."""
    differences: tuple[Difference, ...] = ()
    """The samples that it answers most differently from the float model, worst first."""

    def find(self, outcome: str) -> CandidateReport | None:
        """The candidate with this outcome, if there is one."""
        return next((c for c in self.candidates if c.outcome == outcome), None)


class Provenance(Document, frozen=True):
    """With what, where and when."""

    created: str
    """RFC 3339, UTC."""
    tools: tuple[tuple[str, str], ...]
    python: str
    processor: str
    system: str


class Report(Document, frozen=True):
    """Everything that one conversion found."""

    format: Literal["edgewright.report.v1"]
    name: str
    version: str
    license: str | None
    source: SourceFacts
    signature: ModelSignature
    data: DataFacts
    gates: GateFacts
    precision: str
    """What was asked for: auto, int8, fp16 or float."""
    float_accuracy: float | None
    confusion_float: tuple[tuple[int, ...], ...]
    preprocessing: Preprocessing | None
    targets: tuple[TargetReport, ...]
    provenance: Provenance


class Measurements(Document, frozen=True):
    """The times alone, apart from everything that has equal bytes when made again."""

    format: Literal["edgewright.measurements.v1"]
    created: str
    processor: str
    latencies: tuple[tuple[str, str, LatencyFacts], ...]
    """Target, recipe, figures."""
