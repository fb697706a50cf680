"""The work of a conversion in child processes: bounded, parallel, and expendable."""

from edgewright_converter.children.crew import Crew, Order
from edgewright_converter.children.limits import Limits, default_jobs, default_memory_bytes

__all__ = ["Crew", "Limits", "Order", "default_jobs", "default_memory_bytes"]
