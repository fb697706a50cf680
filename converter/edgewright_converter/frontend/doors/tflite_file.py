"""TFLite: read by our own reader, and compared with LiteRT."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from edgewright_manifests.documents import read_bytes
from edgewright_manifests.signature import DYNAMIC
from edgewright_manifests.tensors import NUMPY_DTYPES
from edgewright_runtime.engine import open_session

from edgewright_converter.frontend.doors.original import SAME_SNR_DB, Attempt, DoorInput
from edgewright_converter.frontend.tflite import computes_in_integers, read_tflite
from edgewright_converter.samples import Tensors

_QUANTIZED_SNR_DB = 15.0
"""Integer kernels round where float32 between QuantizeLinear and DequantizeLinear does not; one
step of an 8 bit output is some 40 dB below its range, and steps add up along a deep network."""


class TfliteOriginal:
    """A .tflite file."""

    def __init__(self, model: Path) -> None:
        data = read_bytes(model)
        self._read = read_tflite(data, model)
        self._rounds = computes_in_integers(data, model)
        self._session = open_session("tflite", model, threads=1)

    def inputs(self, given: Sequence[str]) -> tuple[DoorInput, ...]:
        """The signature's names where the file has one, else the tensors'."""
        return tuple(
            DoorInput(
                spec.name,
                np.dtype(NUMPY_DTYPES[spec.datatype]),
                tuple(None if size == DYNAMIC else size for size in spec.shape[1:]),
            )
            for spec in self._session.signature.inputs
        )

    def run(self, batch: Tensors) -> Tensors:
        """LiteRT's answer."""
        return self._session.run(batch)

    def attempts(self) -> tuple[Attempt, ...]:
        """There is one: the file's own operators."""
        shapes = [spec.shape for spec in self._session.signature.inputs]
        return (
            Attempt(
                "the TFLite reader",
                lambda _, path: self._write(path),
                all(shape[:1] == (DYNAMIC,) for shape in shapes),
                _QUANTIZED_SNR_DB if self._rounds else SAME_SNR_DB,
            ),
        )

    def _write(self, path: Path) -> None:
        path.write_bytes(self._read.SerializeToString(deterministic=True))
