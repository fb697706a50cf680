"""Opens a model artifact on the library for its target; knows no network."""

from edgewright_runtime.engine.availability import available_targets
from edgewright_runtime.engine.session import Session, open_session

__all__ = ["Session", "available_targets", "open_session"]
