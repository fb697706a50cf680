"""How each model is served: one TOML table per model, one frozen struct, read once.

[models.detector]
workers = 2
batching = "off"

[models.vad.sequence]
states = [{ input = "state", output = "stateN" }]

[models."*"]           # all that have no table of their own
queue_limit = 32
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from edgewright_manifests import documents
from edgewright_manifests.documents import Document

Count = Annotated[int, msgspec.Meta(ge=1)]


class StateTensor(Document, frozen=True):
    """An output that the next request of the same sequence gets as an input."""

    input: str
    output: str
    shape: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] | None = None
    """Of the zeros that a sequence begins with; None: the input's own, with 1 where it is free."""


class SequenceSettings(Document, frozen=True):
    """`[models.NAME.sequence]`: a model that remembers, one state per stream of requests."""

    states: Annotated[tuple[StateTensor, ...], msgspec.Meta(min_length=1)]
    idle_s: Annotated[float, msgspec.Meta(gt=0)] = 60.0
    """A sequence without a request for this long is forgotten: its client has gone."""
    limit: Count = 256
    """Sequences at the same time; one more is refused. Each holds its states in memory."""


class ModelSettings(Document, frozen=True):
    """`[models.NAME]`. What is not said is the server's, or the default below."""

    queue_limit: Count | None = None
    """Requests that may wait; the next is refused with 503. None: the server's."""
    workers: Count | None = None
    """Inferences at the same time. None: the server's."""
    threads: Count | None = None
    """Threads per inference. None: the server's."""
    providers: tuple[str, ...] = ()
    """Where it should run, the first preferred: ONNX Runtime's providers (`tensorrt`, `cuda`,
    `openvino`, `xnnpack`, `qnn`, `coreml`, `cpu`) or OpenVINO's devices (`npu`, `gpu`, `cpu`).
    Empty is the CPU. Without `cpu` a model that needs it for a part is refused."""
    provider_cache: str | None = None
    """Folder for what a provider compiles: TensorRT takes minutes on a small board."""
    batching: Literal["auto", "off"] = "auto"
    """`auto`: waiting requests run together where loading measured that it pays. Floating-point
    results may then differ in their last bits from those of a request that runs alone."""
    max_batch: Count = 32
    """Items of one batch, at most."""
    priority_levels: Annotated[int, msgspec.Meta(ge=1, le=64)] = 5
    """1 is served first. With 1 level all requests are alike."""
    default_priority: Count | None = None
    """Of a request that asks for none, or for a level that is not there. None: the middle one."""
    isolation: Literal["auto", "process", "none"] = "auto"
    """`process`: the engine runs in a child, so that its crash costs one request and not the
    server. `auto` is `none`: a release has proven itself in a child before it is installed, and
    a child costs time and memory at each model (benchmarks/bench_isolation.py)."""
    decoupled: bool = False
    """Over ModelStreamInfer each item of the inputs' first axis is answered by itself, as soon as
    it is ready: a caller that sends many pictures at once need not wait for the last."""
    pinned: bool = False
    """Never unloaded to make room for another."""
    sequence: SequenceSettings | None = None
    """For a model that keeps state between requests."""

    def __post_init__(self) -> None:
        """Raises ValueError, which msgspec makes its own."""
        if self.default_priority is not None and self.default_priority > self.priority_levels:
            raise ValueError(
                f"default_priority {self.default_priority} is none of the levels 1 to "
                f"{self.priority_levels}"
            )

    @property
    def usual_priority(self) -> int:
        """The level of a request that does not say."""
        if self.default_priority is not None:
            return self.default_priority
        return (self.priority_levels + 1) // 2


class ModelSettingsFile(Document, frozen=True):
    """The whole file. A device has the same tables in its configuration."""

    models: dict[str, ModelSettings]


def read_model_settings(path: Path) -> dict[str, ModelSettings]:
    """The settings by model in the TOML at `path`.

    Raises DocumentError; an unknown key is one, and names the nearest known one.
    """
    return documents.read_toml(path, ModelSettingsFile).models


def placed(
    settings: Mapping[str, ModelSettings], providers: tuple[str, ...], cache: str | None
) -> dict[str, ModelSettings]:
    """The settings, with these providers and this folder where a model has none of its own."""
    if not providers and cache is None:
        return dict(settings)
    return {
        name: msgspec.structs.replace(
            found,
            providers=found.providers or providers,
            provider_cache=found.provider_cache or cache,
        )
        for name, found in {"*": ModelSettings(), **settings}.items()
    }


def settings_of(model: str, settings: Mapping[str, ModelSettings]) -> ModelSettings:
    """A model's own settings, else those of "*", else the defaults."""
    return settings.get(model) or settings.get("*") or ModelSettings()
