"""Every example of docs/local_client.md is run, and every method of the client is in one."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgewright_runtime import client

from tests.runtime import models
from tests.runtime.serving.running import serving_files

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "docs" / "local_client.md"
MODEL = ROOT / "examples" / "fashion" / "models" / "v1.onnx"
USUAL = "/run/edgewright"
LIMIT_S = 60
SETTINGS = """
[models.recurrent.sequence]
states = [{ input = "state", output = "stateN" }]
"""

EXAMPLES = re.findall(
    r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python ?([a-z-]*)\n(.*?)^```",
    GUIDE.read_text(),
    re.DOTALL | re.MULTILINE,
)
WITHOUT_EVENTFD = (
    "import os\nfor name in ('eventfd', 'eventfd_read', 'eventfd_write'):\n    delattr(os, name)\n"
)
WITHOUT_MEMFD = "import os\ndel os.memfd_create\n"
WITHOUT_NUMPY = "import sys\nsys.modules['numpy'] = None\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the guide's server has its socket."""
    folder = tmp_path_factory.mktemp("guide")
    files = {"fashion": MODEL, "recurrent": models.recurrent_onnx(folder / "recurrent.onnx")}
    settings = folder / "settings.toml"
    settings.write_text(SETTINGS)
    options = ["--socket", str(folder / "infer.sock"), "--model-settings", str(settings)]
    with serving_files(folder, files, *options):
        yield folder


def run(code: str, folder: Path, *, before: str = "") -> str:
    """What a program like this prints, in a process of its own, warnings being errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", before + code.replace(USUAL, str(folder))],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_guide_has_an_example_in_every_section() -> None:
    assert [title for title, _, _ in EXAMPLES] == re.findall(
        r"^## (.+)$", GUIDE.read_text(), re.MULTILINE
    )


@pytest.mark.parametrize(
    ("kind", "code"), [(kind, code) for _, kind, code in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_the_guides_examples_run(kind: str, code: str, folder: Path) -> None:
    run(code, folder, before=WITHOUT_NUMPY if kind == "without-numpy" else "")


@pytest.mark.parametrize("name", client.__all__)
def test_every_method_is_in_an_example(name: str) -> None:
    examples = "\n".join(code for _, _, code in EXAMPLES)
    public = {member for member in vars(getattr(client, name)) if not member.startswith("_")}
    missing = {each for each in public if not re.search(rf"\.{each}\b", examples)}
    assert missing == set()


BOTH_WAYS = """
import asyncio
from array import array
from edgewright_runtime.client import AsyncClient, Client

zeros = array("f", bytes(28 * 28 * 4))
with Client("/run/edgewright/infer.sock") as client:
    print(client.way)
    blocking = list(bytes(client.model("fashion").infer({"image": zeros})["logits"]))

async def main():
    async with AsyncClient("/run/edgewright/infer.sock") as client:
        model = await client.model("fashion")
        answers = await asyncio.gather(*(model.infer({"image": zeros}) for _ in range(3)))
        assert all(list(bytes(each["logits"])) == blocking for each in answers)
        if client.way != "inline":
            async with await model.slot(batch=1) as slot:
                image = slot.inputs["image"]
                (image if hasattr(image, "cast") else image.reshape(-1))[:] = zeros
                await slot.run()
                assert list(bytes(slot.outputs["logits"])) == blocking

asyncio.run(main())
"""


@pytest.mark.parametrize("numpy", ["", WITHOUT_NUMPY], ids=["numpy", "without numpy"])
@pytest.mark.parametrize(
    ("lacks", "way"),
    [("", "eventfd"), (WITHOUT_EVENTFD, "socket"), (WITHOUT_MEMFD, "inline")],
    ids=["everything", "without eventfd", "without memfd"],
)
def test_a_client_that_lacks_something_falls_back_by_itself(
    lacks: str, way: str, numpy: str, folder: Path
) -> None:
    assert run(BOTH_WAYS, folder, before=numpy + lacks) == f"{way}\n"


def test_a_server_that_lacks_eventfd_offers_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "infer.sock"
    program = f"{WITHOUT_EVENTFD}from edgewright_manifests.cli import main\nmain()\n"
    command = [sys.executable, "-c", program, "runtime", "serve", "--http", "127.0.0.1:0"]
    command += ["--model", f"fashion={MODEL}", "--socket", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            # It says so once it listens; its end would end the loop too.
            assert any("local door" in line for line in process.stderr)
            for way in (None, "socket", "inline"):
                with client.Client(path, way=way) as asking:
                    assert asking.way == (way or "socket")
                    answer = asking.model("fashion").infer({"image": bytes(28 * 28 * 4)})
                    assert answer["logits"].shape == (1, 10)
        finally:
            process.terminate()
            process.communicate(timeout=LIMIT_S)


def test_the_client_brings_neither_numpy_nor_an_engine() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import sys, edgewright_runtime.client; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    brought = {name.partition(".")[0] for name in done.stdout.split()}
    assert brought.isdisjoint({"numpy", "onnxruntime", "uvloop", "httptools", "cryptography"})
