"""What can become of one case on one target, and where the results are kept."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from benchmarks.operators.cases import Form, Suite

Verdict = Literal[
    "passed", "refused", "measured", "source", "reference", "wrong", "crashed", "stuck"
]
VERDICTS: dict[Verdict, str] = {
    "passed": "the outputs are the case's own",
    "refused": "one line that names the operator or what the target lacks",
    "measured": "the engine differs from ONNX Runtime on the source; the converter measures that "
    "and refuses",
    "source": "ONNX Runtime, the reference of every conversion, does not run the source",
    "reference": "ONNX Runtime itself differs from the case's outputs; the target agrees with it",
    "wrong": "something is written, it runs, and its outputs are not the case's",
    "crashed": "the process ended",
    "stuck": "the time limit passed",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one case."""

    suite: Suite
    name: str
    form: Form
    is_float: bool
    operators: tuple[str, ...]
    verdict: Verdict
    reason: str = ""


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Keep results as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(result)) + "\n" for result in results))


def read_results(path: Path) -> list[Result]:
    """What `write_results` kept."""
    found = []
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        found.append(Result(**{**entry, "operators": tuple(entry["operators"])}))
    return found
