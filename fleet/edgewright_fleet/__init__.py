"""Enrols devices, signs and rolls out releases, keeps the audit log, shows the console."""

__version__ = "0.1.0"
