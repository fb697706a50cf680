"""Runs `edgewright convert` in this process and gives what a person would see."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from edgewright_manifests.cli import main


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit status, stdout, and stderr without the progress lines."""

    status: int
    stdout: str
    errors: list[str]
    warnings: list[str]


class Convert:
    """`convert(model, *options)`; the bundle goes to `out`."""

    def __init__(self, capsys: pytest.CaptureFixture[str], out: Path) -> None:
        self._capsys = capsys
        self.out = out

    def __call__(self, model: Path, *options: str | Path) -> Outcome:
        words = ["convert", str(model), "--out", str(self.out), *map(str, options)]
        try:
            status = main(words)
        except SystemExit as exit_:  # argparse ends wrong usage so
            status = int(exit_.code or 0)
        captured = self._capsys.readouterr()
        lines = captured.err.splitlines()
        return Outcome(
            status,
            captured.out,
            [line for line in lines if line.startswith("edgewright convert: ")],
            [line for line in lines if " s warning: " in line],
        )

    def must_refuse(self, model: Path, *options: str | Path, status: int = 1) -> str:
        """The one line of a refusal that left nothing behind."""
        outcome = self(model, *options)
        assert outcome.status == status, outcome
        assert outcome.stdout == ""
        assert len(outcome.errors) == 1, outcome
        assert not self.out.exists()
        return outcome.errors[0]
