"""One script a peer: `MODEL.onnx CALIBRATION.npz FLOAT OUT`; it imports nothing of ours.

FLOAT is our float file of the target, for what takes no ONNX; the file goes into the folder OUT.
"""
