"""ONNX's own test cases through every target: `python -m benchmarks.operators`."""
