"""Turns a trained model into one bundle of measured, quantized variants."""

__version__ = "0.1.0"
