"""Keeps the engines' libraries from reporting to their makers.

ONNX Runtime reports usage to Microsoft from 1.31 on (its Privacy.md, "Disabling
Telemetry"); openvino's Python package brings openvino_telemetry along (Google Analytics, where
`enable_opt_in_dialog=False` means opted in), and falls back to stubs of its own without it.
"""

import os
import sys
from typing import cast


def forbid_telemetry() -> None:
    """Call before one of the libraries is imported; child processes inherit it."""
    os.putenv("ORT_DISABLE_TELEMETRY", "1")
    modules = cast(dict[str, object], sys.modules)
    # None makes `import openvino_telemetry` fail, and openvino use stubs of its own.
    modules["openvino_telemetry"] = None
