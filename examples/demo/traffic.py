"""What the live clients saw, summed up."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Answers:
    """Counts over some requests; accuracy is a share of images, 0..1."""

    requests: int
    failed: int
    images: int
    correct: int
    latency_ms_p50: float
    releases: tuple[str, ...]

    @property
    def accuracy(self) -> float:
        """Share of the answered images that were classified right."""
        return self.correct / self.images if self.images else float("nan")


def read_log(path: Path) -> Iterator[dict[str, object]]:
    """The requests of one client; a last line that is still being written is left out."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


def summarise(logs: Iterable[Path], since: float = 0.0, until: float = float("inf")) -> Answers:
    """Sum up the requests sent between two times (seconds since the epoch)."""
    entries = [
        entry for log in logs for entry in read_log(log) if since <= number(entry["time"]) < until
    ]
    answered = [entry for entry in entries if entry["ok"]]
    return Answers(
        requests=len(entries),
        failed=len(entries) - len(answered),
        images=sum(int(number(entry["images"])) for entry in answered),
        correct=sum(int(number(entry["correct"])) for entry in answered),
        latency_ms_p50=median([number(e["latency_ms"]) for e in answered] or [float("nan")]),
        releases=tuple(sorted({str(entry["release"]) for entry in answered})),
    )


def failures(logs: Iterable[Path]) -> list[str]:
    """The error of every request that failed."""
    return [str(e["error"]) for log in logs for e in read_log(log) if not e["ok"]]


def number(value: object) -> float:
    """A JSON number. Raises TypeError for anything else."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)
