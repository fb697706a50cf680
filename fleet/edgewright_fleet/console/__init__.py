"""The console: pages on the operators' listener."""

from edgewright_fleet.console.pages import add_console

__all__ = ["add_console"]
