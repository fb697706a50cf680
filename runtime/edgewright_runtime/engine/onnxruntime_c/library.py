"""Finds the wheel's shared library and gives its table of functions.

Source: onnxruntime_c_api.h, `struct OrtApi`: functions are only ever appended, and a caller
asks for the version whose table it knows.
"""

import ctypes
import functools
import os
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgewright_runtime.engine.telemetry import forbid_telemetry

API_VERSION = 20
"""Of onnxruntime 1.20, the oldest that the `onnx` extra takes."""
_LOG_FATAL = 4
_ENVIRONMENT_NAME = b"edgewright"

Pointer = c_void_p
Function = Callable[..., Any]  # ctypes' functions take and give what their prototypes say


class LibraryMissing(Exception):
    """The wheel has no shared library that can be called; the reason in one line."""


class CallFailed(Exception):
    """The library's own message, as it gave it."""


class _ApiBase(ctypes.Structure):
    _fields_ = (
        ("GetApi", CFUNCTYPE(c_void_p, c_uint32)),
        ("GetVersionString", CFUNCTYPE(c_char_p)),
    )


# Position in OrtApi, and the types of the arguments; all give an OrtStatus*.
_STATUS_FUNCTIONS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "CreateEnv": (3, (c_int, c_char_p, POINTER(c_void_p))),
    "DisableTelemetryEvents": (6, (c_void_p,)),
    "CreateSession": (7, (c_void_p, c_char_p, c_void_p, POINTER(c_void_p))),
    "Run": (
        9,
        (
            c_void_p, c_void_p, POINTER(c_char_p), POINTER(c_void_p), c_size_t,
            POINTER(c_char_p), c_size_t, POINTER(c_void_p),
        ),
    ),
    "CreateSessionOptions": (10, (POINTER(c_void_p),)),
    "SetSessionLogSeverityLevel": (22, (c_void_p, c_int)),
    "SetIntraOpNumThreads": (24, (c_void_p, c_int)),
    "SetInterOpNumThreads": (25, (c_void_p, c_int)),
    "SessionGetInputCount": (30, (c_void_p, POINTER(c_size_t))),
    "SessionGetOutputCount": (31, (c_void_p, POINTER(c_size_t))),
    "SessionGetInputTypeInfo": (33, (c_void_p, c_size_t, POINTER(c_void_p))),
    "SessionGetOutputTypeInfo": (34, (c_void_p, c_size_t, POINTER(c_void_p))),
    "SessionGetInputName": (36, (c_void_p, c_size_t, c_void_p, POINTER(c_void_p))),
    "SessionGetOutputName": (37, (c_void_p, c_size_t, c_void_p, POINTER(c_void_p))),
    "CreateTensorWithDataAsOrtValue": (
        49,
        (c_void_p, c_void_p, c_size_t, POINTER(c_int64), c_size_t, c_int, POINTER(c_void_p)),
    ),
    "GetTensorMutableData": (51, (c_void_p, POINTER(c_void_p))),
    "CastTypeInfoToTensorInfo": (55, (c_void_p, POINTER(c_void_p))),
    "GetTensorElementType": (60, (c_void_p, POINTER(c_int))),
    "GetDimensionsCount": (61, (c_void_p, POINTER(c_size_t))),
    "GetDimensions": (62, (c_void_p, POINTER(c_int64), c_size_t)),
    "GetTensorTypeAndShape": (65, (c_void_p, POINTER(c_void_p))),
    "CreateCpuMemoryInfo": (69, (c_int, c_int, POINTER(c_void_p))),
    "AllocatorFree": (76, (c_void_p, c_void_p)),
    "GetAllocatorWithDefaultOptions": (78, (POINTER(c_void_p),)),
    "AddSessionConfigEntry": (130, (c_void_p, c_char_p, c_char_p)),
}  # fmt: skip  # a table
_VOID_FUNCTIONS = {
    "ReleaseStatus": 93,
    "ReleaseSession": 95,
    "ReleaseValue": 96,
    "ReleaseTypeInfo": 98,
    "ReleaseTensorTypeAndShapeInfo": 99,
    "ReleaseSessionOptions": 100,
}


class Api:
    """The functions by their names in onnxruntime_c_api.h; each gives an OrtStatus* or None."""

    def __init__(self, table: Any, version: str) -> None:  # a pointer to pointers
        self.version = version
        self._get_message = CFUNCTYPE(c_char_p, c_void_p)(table[2])
        self._functions: dict[str, Function] = {
            name: CFUNCTYPE(c_void_p, *types)(table[position])
            for name, (position, types) in _STATUS_FUNCTIONS.items()
        }
        self._functions |= {
            name: CFUNCTYPE(None, c_void_p)(table[position])
            for name, position in _VOID_FUNCTIONS.items()
        }
        self.run: Function = self._functions["Run"]
        """Bare, as the next two, for the hot path; pass what it gives to `check`."""
        self.make_value: Function = self._functions["CreateTensorWithDataAsOrtValue"]
        self.get_data: Function = self._functions["GetTensorMutableData"]
        self.release_value: Function = self._functions["ReleaseValue"]
        self.environment = Pointer()
        self.call("CreateEnv", _LOG_FATAL, _ENVIRONMENT_NAME, ctypes.byref(self.environment))
        self.call("DisableTelemetryEvents", self.environment)
        self.memory = Pointer()
        self.call("CreateCpuMemoryInfo", 0, 0, ctypes.byref(self.memory))
        self.allocator = Pointer()
        self.call("GetAllocatorWithDefaultOptions", ctypes.byref(self.allocator))

    def call(self, name: str, *arguments: object) -> None:
        """Call it and check. Raises CallFailed."""
        self.check(self._functions[name](*arguments))

    def release(self, name: str, what: Pointer | int) -> None:
        """Call a `Release...` function."""
        self._functions[name](what)

    def check(self, status: int | None) -> None:
        """Raise CallFailed for an OrtStatus*, and free it; None is success."""
        if status:
            message = self._get_message(status) or b"no message"
            self._functions["ReleaseStatus"](status)
            raise CallFailed(message.decode("utf-8", "replace"))


@functools.cache
def load_api() -> Api:
    """The library of the installed wheel, loaded once. Raises LibraryMissing."""
    forbid_telemetry()
    path = _find()
    try:
        library = ctypes.CDLL(str(path), mode=os.RTLD_LOCAL)
        get_base = library.OrtGetApiBase
    except (OSError, AttributeError) as error:
        raise LibraryMissing(f"{path.name} cannot be loaded: {error}") from error
    get_base.restype = POINTER(_ApiBase)
    base = get_base().contents
    table = base.GetApi(API_VERSION)
    if not table:
        raise LibraryMissing(f"{path.name} does not offer version {API_VERSION} of its interface")
    version = base.GetVersionString().decode()
    return Api(ctypes.cast(table, POINTER(c_void_p)), version)


def _find() -> Path:
    # Finding a package imports nothing of it.
    found = find_spec("onnxruntime")
    if found is None or not found.submodule_search_locations:
        raise LibraryMissing("onnxruntime is not installed")
    for location in found.submodule_search_locations:
        for path in sorted(Path(location, "capi").glob("libonnxruntime.so.*")):
            return path
    raise LibraryMissing("the installed onnxruntime has no libonnxruntime.so in it")
