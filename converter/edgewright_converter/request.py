"""What a person asks of one conversion, parsed and frozen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgewright_manifests.preprocessing import Preprocessing
from edgewright_manifests.variant import Target

WantedPrecision = Literal["auto", "int8", "fp16", "float"]

IMPLEMENTED_TARGETS: tuple[Target, ...] = ("onnx", "openvino", "tflite", "coreml", "tensorrt")


@dataclass(frozen=True, slots=True)
class MetricRequest:
    """A metric by its name in measure.metrics, and its options as they were written."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """`cer:blank=0`, or `module:function` for one of the user's own."""
        if self.name == "custom":
            return dict(self.options).get("function", self.name)
        told = ",".join(f"{name}={value}" for name, value in self.options)
        return f"{self.name}:{told}" if told else self.name


@dataclass(frozen=True, slots=True)
class MetricGate:
    """A bound on a metric; without options it holds for every metric of that name."""

    metric: MetricRequest
    at_least: bool
    bound: float
    of_float: bool = False
    """The bound is this share of the float model's own figure."""

    @property
    def label(self) -> str:
        """As it is written: `cer<=0.02`."""
        sign = ">=" if self.at_least else "<="
        return f"{self.metric.label}{sign}{self.bound:g}{'*float' if self.of_float else ''}"

    def is_for(self, label: str) -> bool:
        """Whether it bounds the metric with this label."""
        if label == self.metric.label:
            return True
        return not self.metric.options and label.partition(":")[0] == self.metric.name


@dataclass(frozen=True, slots=True)
class Gates:
    """What a quantized variant must keep of the float model; shares are 0..1."""

    max_accuracy_drop: float = 0.01
    """Against the float model, on labelled held-out samples. One point is what a team
    usually accepts for int8."""
    min_top1_agreement: float = 0.95
    """Without labels, for a model whose first output is [batch, classes]: share of samples
    whose arg-max is the float model's. A one-point drop usually shows as 2 to 4 % changed."""
    min_snr_db: float = 15.0
    """Without labels and classes: signal to noise of all outputs. Good int8 files measured
    15 to 35 dB on seven public models, ruined ones under 9."""
    max_latency_ms: float | None = None
    """Median of batch 1 on one thread of this machine."""
    max_size_bytes: int | None = None
    """All files of a variant together."""
    metrics: tuple[MetricGate, ...] = ()
    """Bounds that a person gave. They stand in for the gates on agreement and SNR, which are
    there for want of something that knows the task; the gate on accuracy stays."""
    max_slice_drop: float = 0.05
    """Of the share of right answers in any class or slice of 50 samples or more, after one
    standard error is taken off: five points for one group stay hidden in an average that
    loses half a point over ten."""


@dataclass(frozen=True, slots=True)
class ConversionRequest:
    """One run of `edgewright convert`."""

    model: Path
    name: str
    version: str
    out: Path
    targets: tuple[Target, ...] = IMPLEMENTED_TARGETS
    all_targets: bool = True
    """`--target all`: a target that cannot be made is left out with a warning; a target that
    was named must succeed."""
    calibration: Path | None = None
    evaluation: Path | None = None
    precision: WantedPrecision = "auto"
    gates: Gates = Gates()
    metrics: tuple[MetricRequest, ...] = ()
    """Measured besides SNR, agreement and accuracy; gates may add more."""
    preprocessing: Preprocessing | None = None
    """How `raw.<input>` becomes an input; recorded in the bundle."""
    input_sizes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Sizes for the dynamic axes of inputs, batch first; the samples decide the others."""
    golden: int = 64
    """Samples in the golden vectors: 2 of 64 is a 3 % step, and a device checks 64 small
    inputs within a second."""
    replace: bool = False
    license: str | None = None
