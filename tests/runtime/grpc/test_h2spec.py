"""h2spec, the conformance test of HTTP/2 servers, where it is installed: `h2spec` on the PATH."""

import re
import shutil
import subprocess

import pytest

from tests.runtime.grpc.conftest import TwoDoors
from tests.runtime.grpc.raw import LIVE

H2SPEC = shutil.which("h2spec")


@pytest.mark.long
@pytest.mark.skipif(H2SPEC is None, reason="h2spec (Go) is not installed; no registry packages it")
def test_all_cases_of_h2spec_pass(doors: TwoDoors) -> None:
    host, port = doors.grpc_address
    assert H2SPEC is not None
    done = subprocess.run(
        [H2SPEC, "-h", host, "-p", str(port), "-P", LIVE, "-o", "5"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\b(\d{3}) tests, \1 passed, 0 skipped, 0 failed", done.stdout)
