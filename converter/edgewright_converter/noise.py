"""Keeps third-party libraries quiet and off the network while they work for us.

onnxruntime.quantization and NNCF print, LiteRT and OpenVINO write to file descriptor 2 from
C++. Three send usage data unless told not to: OpenVINO and NNCF to Google Analytics
(openvino_telemetry 2025.2, where `enable_opt_in_dialog=False` means opted in), and ONNX Runtime
from 1.31 on to Microsoft (its Privacy.md, "Disabling Telemetry").
"""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import cast


def forbid_telemetry() -> None:
    """Keep all of them from reporting, in this process and in the children it starts.

    Must run before the first import of onnxruntime, openvino or nncf. OpenVINO and NNCF fall
    back to stubs of their own when `import openvino_telemetry` fails.
    """
    os.putenv("ORT_DISABLE_TELEMETRY", "1")
    modules = cast(dict[str, object], sys.modules)
    modules["openvino_telemetry"] = None


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Swallow everything written to stdout and stderr, from Python and from C++, and warnings."""
    forbid_telemetry()
    sys.stdout.flush()
    sys.stderr.flush()
    before = logging.root.manager.disable
    with (
        tempfile.TemporaryFile("w+") as sink,
        _descriptor_to(1, sink.fileno()),
        _descriptor_to(2, sink.fileno()),
        contextlib.redirect_stdout(sink),
        contextlib.redirect_stderr(sink),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


@contextlib.contextmanager
def _descriptor_to(descriptor: int, sink: int) -> Iterator[None]:
    kept = os.dup(descriptor)
    try:
        os.dup2(sink, descriptor)
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)
