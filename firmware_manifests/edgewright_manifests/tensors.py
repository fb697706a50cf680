"""The Open Inference Protocol's element types as numpy's."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewright_manifests.signature import DataType

Array = NDArray[Any]  # Any: the element type is known only at run time, from the signature

NUMPY_DTYPES: Mapping[DataType, np.dtype[Any]] = MappingProxyType(  # Any: as above
    {
        "BOOL": np.dtype(np.bool_),
        "UINT8": np.dtype(np.uint8),
        "UINT16": np.dtype(np.uint16),
        "UINT32": np.dtype(np.uint32),
        "UINT64": np.dtype(np.uint64),
        "INT8": np.dtype(np.int8),
        "INT16": np.dtype(np.int16),
        "INT32": np.dtype(np.int32),
        "INT64": np.dtype(np.int64),
        "FP16": np.dtype(np.float16),
        "FP32": np.dtype(np.float32),
        "FP64": np.dtype(np.float64),
    }
)
"""Native byte order. BYTES (strings of any length) has no numpy element type and is absent."""


def datatype_of(dtype: np.dtype[Any]) -> DataType | None:
    """The protocol's word for a numpy element type; None where it has none."""
    native = dtype.newbyteorder("=")
    return next((word for word, known in NUMPY_DTYPES.items() if known == native), None)
