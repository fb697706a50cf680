"""ONNX Runtime's C interface by ctypes: sessions without its Python package and without numpy.

The shared library lies inside the onnxruntime wheel, an undocumented detail of it; where it
is not found, or is another one than the table of functions here was checked with, the
ordinary package is imported instead.
"""
