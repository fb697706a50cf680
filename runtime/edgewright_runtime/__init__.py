"""Serves model bundles on the device and applies signed updates."""

__version__ = "0.1.0"
