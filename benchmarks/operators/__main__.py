"""Drives onnx.backend.test through every target: `python -m benchmarks.operators --write`.

    python -m benchmarks.operators --target coreml --target tflite
    python -m benchmarks.operators --peer onnx2tf=PYTHON --peer onnxsim=PYTHON
    python -m benchmarks.operators --write

Results are kept in build/operators, a file per target or peer; those of a part (`--match`,
`--suite`) replace what was kept of it. `--write` alone makes docs/operators.md of what is there.
PYTHON is the interpreter of an environment with the peer.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.operators.cases import FORMS, SUITES, Form, OperatorCase, cases
from benchmarks.operators.document import write_document
from benchmarks.operators.judges import TARGETS
from benchmarks.operators.peers import PEERS, Peer
from benchmarks.operators.pool import Answer, Task, answers
from benchmarks.operators.verdicts import Result, read_results, write_results

RESULTS = Path("build/operators")
DOCUMENT = Path("docs/operators.md")
LIMIT_S = 120.0
"""The largest of the zoo's architectures takes half a minute; nearly all cases take none."""
_WORKER = (sys.executable, "-m", "benchmarks.operators.worker")

Chosen = list[tuple[int, OperatorCase, Form]]


def main() -> int:
    """Judge what is asked for, keep it, and write the document; 1 when anything was wrong."""
    options = _options()
    listed = [*enumerate(cases())]
    chosen: Chosen = [
        (number, case, form)
        for number, case in listed
        if case.suite in options.suite and options.match in case.name
        for form in FORMS
    ]
    bad = 0
    for target in options.target:
        bad += _keep(target, _targets_results(target, chosen, options.jobs), options.results)
    for name, python in (entry.split("=", 1) for entry in options.peer):
        _keep(name, _peers_results(PEERS[name], python, chosen, options.jobs), options.results)
    if options.write:
        found = {path.stem: read_results(path) for path in sorted(options.results.glob("*.jsonl"))}
        DOCUMENT.write_text(write_document(found))
    return 1 if bad else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", action="append", choices=TARGETS, default=[])
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--suite", action="append", choices=SUITES)
    parser.add_argument("--match", default="", help="only cases whose name holds this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT}")
    options = parser.parse_args()
    options.suite = options.suite or list(SUITES)
    unknown = [entry for entry in options.peer if entry.split("=", 1)[0] not in PEERS]
    if unknown:
        parser.error(f"no such peer: {unknown[0]}; give one of {', '.join(PEERS)} as NAME=PYTHON")
    if not (options.target or options.peer or options.write):
        options.target = [*TARGETS]
    return options


def _targets_results(target: str, chosen: Chosen, jobs: int) -> list[Result]:
    once = [entry for entry in chosen if not _is_repetition(entry)]
    tasks = [{"case": number, "form": form, "target": target} for number, _, form in once]
    return _spread(chosen, once, _asked(target, _WORKER, tasks, jobs))


def _is_repetition(entry: tuple[int, OperatorCase, Form]) -> bool:
    """Whether both forms of the case are one: it has one input."""
    _, case, form = entry
    return form == "constants" and case.written(form) == case.model


def _spread(chosen: Chosen, once: Chosen, found: Sequence[Answer]) -> list[Result]:
    """Results of all forms; a repetition has the first form's."""
    known = {(number, form): answer for (number, _, form), answer in zip(once, found, strict=True)}
    return _results(
        chosen,
        [known.get((number, form)) or known[number, "given"] for number, _, form in chosen],
    )


def _peers_results(peer: Peer, python: str, chosen: Chosen, jobs: int) -> list[Result]:
    once = [entry for entry in chosen if not _is_repetition(entry)]
    with TemporaryDirectory(prefix="edgewright-") as name:
        folder = Path(name)
        tasks: list[Task] = []
        for number, case, form in once:
            model = folder / f"{number}.{form}.onnx"
            model.write_bytes(case.written(form).SerializeToString(deterministic=True))
            artifact = str(model.with_suffix(peer.suffix))
            tasks.append({"model": str(model), "artifact": artifact})
        script = str(Path(__file__).with_name(peer.script))
        found = _asked(f"{peer.name} converts", (python, script), tasks, jobs)
        written = [at for at, answer in enumerate(found) if answer["verdict"] == "written"]
        runs = [
            {
                "case": once[at][0],
                "form": once[at][2],
                "target": peer.name,
                "artifact": tasks[at]["artifact"],
            }
            for at in written
        ]
        judged = _asked(f"{peer.name} runs", _WORKER, runs, jobs)
        for at, answer in zip(written, judged, strict=True):
            found[at] = answer
    return _spread(chosen, once, found)


def _asked(what: str, command: Sequence[str], tasks: Sequence[Task], jobs: int) -> list[Answer]:
    begun = time.monotonic()

    def tell(done: int) -> None:
        if done % 100 == 0 or done == len(tasks):
            past_s = time.monotonic() - begun
            print(f"{what}: {done} of {len(tasks)} cases, {past_s:.0f} s", file=sys.stderr)

    return answers(command, tasks, jobs=jobs, limit_s=LIMIT_S, tell=tell)


def _results(chosen: Chosen, found: Sequence[Answer]) -> list[Result]:
    return [
        Result(
            case.suite,
            case.name,
            form,
            case.is_float,
            case.operators,
            answer["verdict"],
            answer.get("reason", ""),
        )
        for (_, case, form), answer in zip(chosen, found, strict=True)
    ]


def _keep(name: str, results: list[Result], folder: Path) -> int:
    path = folder / f"{name}.jsonl"
    kept = {(r.suite, r.name, r.form): r for r in (read_results(path) if path.is_file() else ())}
    kept |= {(r.suite, r.name, r.form): r for r in results}
    write_results(path, kept.values())
    for form in FORMS:
        counts = Counter(result.verdict for result in results if result.form == form)
        print(f"{name} {form}: " + ", ".join(f"{v} {n}" for v, n in counts.most_common()))
    bad = [r for r in results if r.verdict in ("wrong", "crashed", "stuck")]
    for result in bad:
        print(f"  {result.verdict}: {result.suite} {result.name} {result.form}: {result.reason}")
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
