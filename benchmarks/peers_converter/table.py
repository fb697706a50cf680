"""The comparison in Markdown, and its place in docs/benchmarks.md."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers_converter.cells import Cell, Right
from benchmarks.peers_converter.reasons import losses
from benchmarks.peers_converter.registry import FLOAT, OURS, PEERS

DOC = Path("docs/benchmarks.md")
_LONGEST = 110
"""Of a problem, in characters; the log beside the cell in the cache has all of it."""
_HEADING = "## Converter"
_BEGIN = "<!-- written by python -m benchmarks.bench_converter --write -->"
_END = "<!-- end of what is written -->"
_ABOUT = """\
`make bench-converter`: everybody gets the same ONNX file and the same calibration samples, each
in a process of its own; all files are measured on the same held-out samples against the float
ONNX model, by the engine that serves the target, interleaved, on one thread. *Right* is what
knows the task: accuracy by labels, agreeing decisions (frames), whole lines, overlap (iou),
cosine. Speed and size are against our float file of the target. *s* is the wall time of the whole
process; ours tries and measures many recipes in it, the others make one file. Core ML has no
engine on Linux: quality by our evaluator, no speed. ai-edge-quantizer takes our float TFLite
file, as it reads no ONNX. A file that does not pass the gates (accuracy at most a point below
float, otherwise 95 % equal answers or 15 dB) is marked †.
"""


def section(cells: Sequence[Cell], versions: str) -> str:
    """The whole section, its heading included."""
    lines = [_HEADING, "", _BEGIN, "", _ABOUT, f"Versions: {versions}.", ""]
    lines += [
        "| model | target | by | right | SNR dB | µs | speed, float = 1 | size of float | s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    plain = {(cell.model, cell.target): cell for cell in cells if cell.by == FLOAT}
    lines += [_row(cell, plain.get((cell.model, cell.target))) for cell in cells]
    lines += ["", "Where another file is ahead of ours, and why ours is what ships:", ""]
    return "\n".join([*lines, *(_whys(cells) or ["Nowhere."]), "", _END, ""])


def write(text: str) -> None:
    """Put the section into the document, in place of the one that is there."""
    old = DOC.read_text() if DOC.exists() else "# Benchmarks\n\n"
    before, found, rest = old.partition(_HEADING + "\n")
    _, next_, after = rest.partition("\n## ") if found else ("", "", "")
    DOC.write_text(before.rstrip() + "\n\n" + text + (f"\n## {after}" if next_ else ""))


def _row(cell: Cell, plain: Cell | None) -> str:
    by = f"**{OURS}**: {cell.recipe}" if cell.by == OURS and cell.recipe else cell.by
    head = f"| {cell.model} | {cell.target} | {by} |"
    seconds = f"{cell.seconds:.1f}" if cell.seconds else "–"
    if cell.judged is None:
        problem = cell.problem.replace("|", "/")
        told = problem if len(problem) <= _LONGEST else f"{problem[:_LONGEST]}…"
        return f"{head} {told} | | | | | {seconds} |"
    mark = " †" if cell.judged.gate and cell.by not in (OURS, FLOAT) else ""
    right = _right(cell.judged.right)
    us, speed = ("–", "–")
    if cell.timed is not None:
        us, speed = f"{cell.timed.us_p50:.0f}", f"{cell.timed.speed_up:.2f}x"
    share = "–" if plain is None else f"{cell.size_bytes / plain.size_bytes:.0%}"
    return (
        f"{head} {right}{mark} | {cell.judged.snr_db:.1f} | {us} | {speed} | {share} | {seconds} |"
    )


def _right(right: Right | None) -> str:
    if right is None:
        return "–"
    of = "" if right.value_float is None else f" of {right.value_float:.2%}"
    name = right.name.partition(":")[0]
    if name == "cosine":
        return f"cosine {right.value:.4f}"
    return f"{name} {right.value:.2%}{of}"


def _whys(cells: Sequence[Cell]) -> list[str]:
    ours = {(cell.model, cell.target, cell.by): cell for cell in cells}
    found = []
    for cell in cells:
        peer = PEERS.get(cell.by)
        mine = ours.get((cell.model, cell.target, FLOAT if peer and peer.is_float else OURS))
        if peer is None or mine is None or mine.judged is None:
            continue
        reasons: dict[str, list[str]] = {}
        for figure, why in losses(mine, cell).items():
            reasons.setdefault(why or "**not explained yet**", []).append(figure)
        found += [
            f"- {cell.model}, {cell.target}: {cell.by} in {' and '.join(figures)}; {why}."
            for why, figures in reasons.items()
        ]
    return found
