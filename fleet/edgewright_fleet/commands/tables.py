"""Plain tables and times for people."""

import datetime
import sys
from collections.abc import Iterable, Sequence

import msgspec


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Columns as wide as their widest cell; `empty` when there are no rows."""
    cells = [[str(cell) if cell is not None else "-" for cell in row] for row in rows]
    if not cells:
        print(empty)
        return
    widths = [max(len(r[i]) for r in [list(head), *cells]) for i in range(len(head))]
    for row in [list(head), *cells]:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def ago(time: datetime.datetime | None) -> str:
    """How long ago, in one unit."""
    if time is None:
        return "never"
    seconds = max(0.0, (datetime.datetime.now(datetime.UTC) - time).total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def size(size_bytes: int) -> str:
    """Bytes in the unit that reads best."""
    if size_bytes >= 1_000_000:
        return f"{size_bytes / 1_000_000:.1f} MB"
    return f"{size_bytes / 1_000:.1f} kB"
