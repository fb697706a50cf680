"""Keeps third-party libraries quiet and off the network while they work for us.

onnxruntime.quantization and NNCF print, LiteRT and OpenVINO write to file descriptor 2 from
C++. NNCF sends usage data by the same package as OpenVINO, which the engine switches off.
"""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from edgewright_runtime.engine.telemetry import forbid_telemetry


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
