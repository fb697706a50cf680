"""How each model is served: one TOML table per model, one frozen struct, read once.

    [default]              # for every model that has no table of its own, and beneath those
    queue_limit = 32

    [models.detector]
    workers = 2
    batching = "off"

    [models.vad.sequence]
    states = [{ input = "state", output = "stateN" }]
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError

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
    batching: Literal["auto", "off"] = "auto"
    """`auto`: waiting requests run together where loading measured that it pays. Floating-point
    results may then differ in their last bits from those of a request that runs alone."""
    max_batch: Count = 32
    """Items of one batch, at most."""
    priority_levels: Annotated[int, msgspec.Meta(ge=1, le=64)] = 5
    """1 is served first. With 1 level all requests are alike."""
    default_priority: Count | None = None
    """Of a request that asks for none, or for a level that is not there. None: the middle one."""
    sequence: SequenceSettings | None = None
    """For a model that keeps state between requests."""

    @property
    def usual_priority(self) -> int:
        """The level of a request that does not say."""
        if self.default_priority is not None:
            return self.default_priority
        return (self.priority_levels + 1) // 2


class ModelSettingsFile(Document, frozen=True):
    """The whole file; read by `read_model_settings`."""

    default: ModelSettings = ModelSettings()
    models: dict[str, ModelSettings] = {}


def read_model_settings(path: Path) -> dict[str, ModelSettings]:
    """The settings by model in the TOML at `path`; those of other models under "*".

    Raises DocumentError; an unknown key is one, and names the nearest known one.
    """
    documents.read_toml(path, ModelSettingsFile)
    table = tomllib.loads(path.read_text("utf-8"))
    default = table.get("default", {})
    # Tables are laid over each other before defaults come in: what a model says, it says.
    found = {
        name: msgspec.convert({**default, **own}, type=ModelSettings)
        for name, own in {"*": {}, **table.get("models", {})}.items()
    }
    for name, settings in found.items():
        level = settings.default_priority
        if level is not None and level > settings.priority_levels:
            raise DocumentError(
                str(path),
                f"{name}: default_priority {level} is none of its levels, "
                f"1 to {settings.priority_levels}",
            )
    return found


def settings_of(model: str, settings: Mapping[str, ModelSettings]) -> ModelSettings:
    """A model's own settings, else those of all models, else the defaults."""
    return settings.get(model) or settings.get("*") or ModelSettings()
