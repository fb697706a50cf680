"""The daemon's configuration: one TOML file, one frozen struct, read once.

The only module that reads the environment.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError

from edgewright_runtime.health.watchdog import ServiceManager
from edgewright_runtime.model_settings import ModelSettings
from edgewright_runtime.update.faults import KillOnce, Reach, pass_by

LogLevel = Literal["debug", "info", "warning", "error"]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
FAULT_VARIABLE = "EDGEWRIGHT_FAULT"
"""For tests only: the file of orders of update/faults.py."""


class LogConfig(Document, frozen=True):
    """`[log]`."""

    level: LogLevel = "info"
    """State changes and what went wrong; nothing per inference."""
    format: Literal["text", "json"] = "text"
    """`json`: one object per line, for collectors."""


class TracesConfig(Document, frozen=True):
    """`[traces]`: OpenTelemetry, with the extra `otel`."""

    endpoint: str | None = None
    """A collector's URL, e.g. http://127.0.0.1:4318/v1/traces; None traces nothing."""
    rate: Annotated[int, msgspec.Meta(ge=0)] = 100
    """One of so many requests; every one whose caller traces it; 0 none at all."""


class UpdateConfig(Document, frozen=True):
    """`[update]`. Durations in seconds."""

    poll_s: Seconds = 300.0
    """The doorbell may be lost; a lost one costs at most this long. A poll is one small GET."""
    baseline_s: Annotated[float, msgspec.Meta(ge=0)] = 5.0
    """How long the release in use is measured before the switch: 100 requests at 20 Hz."""
    probation_poll_s: Seconds = 1.0
    """Each look is one question over a local socket."""
    preflight_limit_s: Seconds = 300.0
    """A Raspberry Pi compiles and runs 64 golden samples of a large detector in a minute."""
    download_tries: Annotated[int, msgspec.Meta(ge=1)] = 60
    """Tries in a row without one byte; with the longest pauses about half an hour."""


class TlsConfig(Document, frozen=True, kw_only=True):
    """`[tls]` of both network doors: PEM files, read again at SIGHUP."""

    certificate: str
    """The device's certificate, and those between it and the clients' root below it."""
    key: str
    """Its private key, without a password."""
    client_ca: str | None = None
    """Roots of client certificates; with it a client without one is turned away."""


class RuntimeConfig(Document, frozen=True):
    """The whole file. Paths are relative to the working folder."""

    state_dir: str = "edgewright-state"
    """Everything that the daemon writes: identity, slots, outbox, sockets."""
    profile: str = "generic"
    """For enrolment, unless it is given there: the profile that every Linux board can run."""
    http: str = "127.0.0.1:8000"
    """HOST:PORT of the inference door. Loopback: who may reach it is for you to widen."""
    grpc: str | None = None
    """HOST:PORT of the gRPC door; none unless given: most devices ask over HTTP."""
    tls: TlsConfig | None = None
    """None speaks in the clear, which the loopback may."""
    token_file: str | None = None
    """Tokens, one per line, of which callers of the network doors must show one."""
    connections: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Of each network door: a Raspberry Pi 4 with 1 GB holds them idle."""
    threads: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Threads per inference: small models are fastest, and leave most CPU, on one."""
    workers: Annotated[int, msgspec.Meta(ge=1)] = 1
    """Inferences of one model at the same time."""
    models: dict[str, ModelSettings] = msgspec.field(default_factory=dict)
    """`[models.NAME]`, and `[models."*"]` for models without their own."""
    report_s: Seconds = 30.0
    """Between version reports when nothing changes; the fleet calls a device silent after a few."""
    telemetry_s: Seconds = 30.0
    """Between figures."""
    log: LogConfig = LogConfig()
    traces: TracesConfig = TracesConfig()
    update: UpdateConfig = UpdateConfig()

    @property
    def state(self) -> Path:
        """The state folder."""
        return Path(self.state_dir)

    @property
    def control_socket(self) -> Path:
        """Where the server answers."""
        return self.state / "run" / "control.sock"


def load_config(path: Path | None, **overrides: object) -> RuntimeConfig:
    """The configuration in the TOML at `path` (defaults without), with the options that are given.

    `overrides` that are None are not given. Raises DocumentError; an unknown key names the
    nearest known one.
    """
    config = documents.read_toml(path, RuntimeConfig) if path is not None else RuntimeConfig()
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return msgspec.convert(
            msgspec.to_builtins(config) | msgspec.to_builtins(given), type=RuntimeConfig
        )
    except msgspec.ValidationError as error:
        raise DocumentError("options", str(error)) from error


def service_manager(environment: Mapping[str, str] = os.environ) -> ServiceManager:
    """The service manager that started this process, if one did."""
    return ServiceManager.of(environment)


def read_fault(environment: Mapping[str, str] = os.environ) -> Reach:
    """Where a test wants this process to be killed; on a device nowhere."""
    order = environment.get(FAULT_VARIABLE)
    return KillOnce(Path(order)) if order else pass_by
