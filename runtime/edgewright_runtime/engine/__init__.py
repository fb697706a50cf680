"""Opens a model artifact on the library for its target; knows no network."""

from edgewright_runtime.engine.session import Session, open_session

__all__ = ["Session", "open_session"]
