"""docs/operators.md: the counts of the kept results, and which operators the registries know."""

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from edgewright_converter.emit.coreml.catalogue import registry as coreml_registry
from edgewright_converter.emit.tflite.catalogue import registry as tflite_registry

from benchmarks.operators.cases import FORMS, SUITES, Form
from benchmarks.operators.judges import TARGETS
from benchmarks.operators.peers import PEERS
from benchmarks.operators.prose import read_prose
from benchmarks.operators.reasons import grouped
from benchmarks.operators.verdicts import Result, Verdict

Found = Mapping[str, Sequence[Result]]

_COLUMNS: tuple[Verdict, ...] = ("passed", "refused", "measured", "source", "reference")
_BAD: tuple[Verdict, ...] = ("wrong", "crashed", "stuck")
_FORM_NAMES: Mapping[Form, str] = {"given": "as given", "constants": "with constants"}
_REASONS_SHOWN = 15


def write_document(found: Found) -> str:
    """The document's text; a target without results is left out and named."""
    missing = [name for name in (*TARGETS, *PEERS) if name not in found]
    prose = read_prose()
    parts = [prose["head"], _versions()]
    if missing:
        parts.append(f"Not run when this was written: {', '.join(missing)}.\n")
    parts += [prose["how"], _summary(found), _floats(found), _suites(found)]
    parts += [prose["peers"], _peers(found), prose["matrix"], _matrix(found)]
    parts += [prose["families"], prose["refused"], _reasons(found)]
    return "\n".join(parts)


def _versions() -> str:
    names = ("onnx", "onnxruntime", "openvino", "ai-edge-litert", "coremltools")
    return "Versions: " + ", ".join(f"{name} {version(name)}" for name in names) + ".\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _counted(results: Sequence[Result]) -> list[object]:
    counts = Counter(result.verdict for result in results)
    return [*(counts[v] for v in _COLUMNS), sum(counts[v] for v in _BAD)]


def _summary(found: Found) -> str:
    rows = []
    for target in TARGETS:
        for form in FORMS:
            results = [r for r in found.get(target, ()) if r.form == form]
            if results:
                rows.append([target, _FORM_NAMES[form], len(results), *_counted(results)])
    return "## All cases\n" + _table(
        ["target", "form", "cases", "passed", "refused", "engine differs, refused by measurement",
         "ONNX Runtime does not run it", "ONNX Runtime differs itself", "wrong"],
        rows,
    )  # fmt: skip


def _floats(found: Found) -> str:
    rows = []
    for target in TARGETS:
        for form in FORMS:
            results = [
                r
                for r in found.get(target, ())
                if r.form == form and r.is_float and r.suite == "node"
            ]
            if results:
                passed = sum(r.verdict == "passed" for r in results)
                share = f"{100 * passed / len(results):.1f} %"
                rows.append([target, _FORM_NAMES[form], len(results), passed, share,
                             sum(r.verdict in _BAD for r in results)])  # fmt: skip
    head = ["target", "form", "cases", "passed", "share", "wrong"]
    return "## Node cases whose first input is float32\n" + _table(head, rows)


def _suites(found: Found) -> str:
    rows = []
    for suite in SUITES:
        for target in TARGETS:
            results = [r for r in found.get(target, ()) if r.suite == suite and r.form == "given"]
            if results:
                rows.append([suite, target, len(results), *_counted(results)])
    return "## By suite, as given\n" + _table(
        ["suite", "target", "cases", "passed", "refused", "by measurement", "source not run",
         "reference differs", "wrong"],
        rows,
    )  # fmt: skip


def _peers(found: Found) -> str:
    rows = []
    for peer in PEERS.values():
        for form in FORMS:
            for name, shown in ((peer.target, "edgewright"), (peer.name, peer.name)):
                results = [
                    r
                    for r in found.get(name, ())
                    if r.form == form and r.is_float and r.suite == "node"
                ]
                if not results:
                    continue
                counts = Counter(r.verdict for r in results)
                broken = counts["crashed"] + counts["stuck"]
                share = f"{100 * counts['passed'] / len(results):.1f} %"
                rows.append([peer.target, _FORM_NAMES[form], shown, counts["passed"], share,
                             counts["refused"], counts["wrong"], broken])  # fmt: skip
    head = ["target", "form", "converter", "passed", "share", "refused", "wrong", "does not run"]
    return _table(head, rows)


def _matrix(found: Found) -> str:
    """Operators that any case holds: forms registered, and cases passed of those that hold it."""
    names = sorted({op for results in found.values() for r in results for op in r.operators})
    tallies: dict[str, Counter[str]] = {}
    totals: Counter[str] = Counter()
    for target in TARGETS:
        tallies[target] = Counter()
        for result in found.get(target, ()):
            if result.form != "constants":
                continue
            for operator in result.operators:
                if target == TARGETS[0]:
                    totals[operator] += 1
                tallies[target][operator] += result.verdict == "passed"
    rows = []
    for name in names:
        forms = [
            ", ".join(map(str, registry().versions(name))) or "–"
            for registry in (tflite_registry, coreml_registry)
        ]
        rows.append([name, *forms, totals[name], *(tallies[target][name] for target in TARGETS)])
    head = ["operator", "forms: tflite", "forms: coreml", "cases", *TARGETS]
    return _table(head, rows)


def _reasons(found: Found) -> str:
    parts = []
    for target in TARGETS:
        results = [
            r
            for r in found.get(target, ())
            if r.form == "constants" and r.verdict == "refused" and r.suite == "node"
        ]
        shown = grouped(result.reason for result in results)
        rows = [[count, reason] for reason, count in shown.most_common(_REASONS_SHOWN)]
        rest = sum(shown.values()) - sum(int(str(row[0])) for row in rows)
        if rest:
            rows.append([rest, "others"])
        if rows:
            parts.append(f"### {target}\n" + _table(["cases", "reason"], rows))
    return "\n".join(parts)
