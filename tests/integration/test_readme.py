"""The README's commands, run as they stand there."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.integration.test_whole_way import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0


def commands() -> list[str]:
    """The lines of the section `By hand`, without comments, on ports that are free here."""
    section = (ROOT / "README.md").read_text().split("## By hand")[1]
    for port in ("8000", "8001"):
        section = section.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}")
    (block, *_) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for line in block.splitlines() if line and not line.startswith("#")]


def wait_until_up(log: Path, marks: tuple[str, ...]) -> None:
    """A person would look at the screen before going on."""
    deadline = time.monotonic() + START_S
    while not any(mark in log.read_text() for mark in marks):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def test_the_readmes_commands_do_what_it_says(tmp_path: Path) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "examples": str(ROOT / "examples" / "fashion"),
    }
    services: list[subprocess.Popen[bytes]] = []
    output = ""
    try:
        for number, line in enumerate(commands()):
            shell = ["bash", "-euc", "exec " + line.removesuffix("&")]
            if line.endswith("&"):
                log = tmp_path / f"service-{number}.log"
                with log.open("wb") as file:
                    services.append(
                        subprocess.Popen(
                            shell, cwd=tmp_path, env=environment, stdout=file, stderr=file
                        )
                    )
                wait_until_up(log, ("is up", "serving", " ready"))
                continue
            result = subprocess.run(
                ["bash", "-euc", line],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"
            output += result.stdout
    finally:
        for service in reversed(services):
            service.send_signal(signal.SIGTERM)
            service.wait(timeout=30)
    assert "tflite-int8" in output
    assert re.search(r"^pi-1 +committed", output, re.MULTILINE)
    assert "intact" in output
