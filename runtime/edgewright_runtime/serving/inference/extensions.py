"""Triton's extensions beside inference, once for all doors."""

from dataclasses import dataclass

from edgewright_runtime.serving.inference.loading import Loading
from edgewright_runtime.serving.inference.log_settings import LogSettings
from edgewright_runtime.serving.inference.shared_memory import SharedMemory
from edgewright_runtime.serving.inference.trace_settings import TraceSettings
from edgewright_runtime.serving.inference.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Extensions:
    """What the doors ask beside the repository. Belongs to the event loop's thread."""

    memory: SharedMemory
    loading: Loading
    log: LogSettings
    traces: TraceSettings
    tracing: Tracing | None = None
    """Sends spans, if the server was started with a collector."""

    def close(self) -> None:
        """Let go of callers' memory and files."""
        self.memory.unregister()
        self.loading.close()
        if self.tracing is not None:
            self.tracing.close()
