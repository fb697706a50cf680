"""OpenVINO's intermediate representation as the two files that the engine wants."""

from pathlib import Path
from typing import Any

_NAMES = ("model.xml", "model.bin")


def save_ir(
    model: Any,  # Any: openvino ships no types
    folder: Path,
    *,
    compress_to_fp16: bool = False,
) -> tuple[tuple[str, bytes], ...]:
    """An openvino.Model as its two files, the one to open first."""
    import openvino

    openvino.save_model(model, folder / _NAMES[0], compress_to_fp16=compress_to_fp16)
    return tuple((name, (folder / name).read_bytes()) for name in _NAMES)
