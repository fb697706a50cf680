"""An environment of its own for each peer, made once under .cache/peers."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".cache" / "peers"


def environment(name: str, requirements: Sequence[str], *, python: str = sys.executable) -> Path:
    """The folder of a virtual environment that has `requirements`, installed if it is new."""
    folder = FOLDER / name
    done = folder / "requirements.txt"
    wanted = "\n".join(requirements) + "\n"
    if done.is_file() and done.read_text() == wanted:
        return folder
    print(f"installing {', '.join(requirements)}", file=sys.stderr, flush=True)
    subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, *requirements], check=True)
    done.write_text(wanted)
    return folder
