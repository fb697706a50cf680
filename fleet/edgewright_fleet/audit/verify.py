"""Is the log what was signed? Needs the folder and the public key, no server.

Every record is hashed anew into the tree; every signed head that is known (the newest,
the history beside it, those that were kept elsewhere) must be the tree's at its size.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from edgewright_manifests.documents import Document, decode
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.tree import MerkleTree

from edgewright_fleet.audit.heads import Head, Verifier
from edgewright_fleet.audit.opening import CHECKPOINT, HISTORY, is_being_written
from edgewright_fleet.audit.records import AuditRecord
from edgewright_fleet.audit.segments import read_lines
from edgewright_fleet.errors import AuditError

ProblemKind = Literal[
    "changed", "removed", "inserted", "reordered", "truncated", "unsigned", "checkpoint",
    "kept-checkpoint", "history",
]  # fmt: skip  # one line a thing that can be wrong would be nine


class Problem(Document, frozen=True):
    """One thing that is wrong. `index` is the first record that it concerns."""

    kind: ProblemKind
    message: str
    index: int | None = None


class VerifyReport(Document, frozen=True):
    """What `edgewright fleet audit verify` found."""

    intact: bool
    records: int
    """Records in the folder."""
    signed: int
    """Records under the newest signed head."""
    root: str
    """The tree's root over the signed records, hex."""
    kept: tuple[int, ...]
    """Sizes of the checkpoints kept elsewhere that the log still agrees with."""
    problems: tuple[Problem, ...]


class _Records(Document, frozen=True):
    """What reading every record gave."""

    count: int
    first_cut: int | None
    """The first line that lacks its line feed."""
    first_odd: int | None
    """The first line that is no record, or not of its place."""
    sequences: tuple[int | None, ...]
    """What the lines from `first_odd` on say they are (at most LOOK_AHEAD)."""


SIGNING_LOOKS = 20
SIGNING_LOOK_S = 0.05
"""A writer signs within milliseconds of writing; a second is a busy disk's."""
LOOK_AHEAD = 100_000
"""How far behind the first odd line its rightful record is looked for."""


def verify_log(
    folder: Path, public_key: str, kept_checkpoints: Mapping[str, bytes] | None = None
) -> VerifyReport:
    """Verify the log in `folder` (an export is one, too) against the pinned `public_key`.

    `kept_checkpoints` are notes that were kept elsewhere, by a name for messages. A log that
    another process writes may be verified meanwhile. Raises AuditError only for a folder
    that cannot be read or a key that is none; what is wrong with the log is in the report.
    """
    verifier = Verifier(public_key)
    problems: list[Problem] = []
    # Heads before records: a writer publishes a head only when its records are on disk.
    history = _read_history(folder, verifier, problems)
    newest = _read_head(folder, verifier, problems)
    kept = _open_kept(kept_checkpoints or {}, verifier, problems)
    tree, records = _read_records(folder)

    own = sorted({head.size: head for head in (*history, *newest)}.values())
    signed = max((head.size for head in own), default=0)
    if newest and newest[0].size < signed:
        problems.append(
            Problem(
                kind="checkpoint",
                message=f"the checkpoint is older ({newest[0].size} records) than the history "
                f"of checkpoints beside it ({signed})",
                index=newest[0].size,
            )
        )
    wrong = _first_wrong(own, tree, records)
    if wrong is not None:
        problems.append(_explain(wrong, tree, records, signed))
    elif signed > tree.size:
        problems.append(_truncated(tree.size, signed, "the newest checkpoint"))
    elif records.first_cut is not None and records.first_cut < signed:
        cut = records.first_cut
        problems.append(Problem(kind="changed", message=f"record {cut} is cut short", index=cut))
    agreed = _check_kept(kept, tree, signed, problems, wrong_already=wrong is not None)
    if tree.size > signed and wrong is None and not _soon_signed(folder, verifier, tree):
        problems.append(
            Problem(
                kind="unsigned",
                message=f"record {signed} and what follows is under no checkpoint: put there by "
                "someone, or left by a crash (the fleet server repairs that when it starts, and "
                "records that it did)",
                index=signed,
            )
        )
    return VerifyReport(
        intact=not problems,
        records=tree.size,
        signed=min(signed, tree.size),
        root=tree.root(min(signed, tree.size)).hex(),
        kept=tuple(agreed),
        problems=tuple(problems),
    )


def _soon_signed(folder: Path, verifier: Verifier, tree: MerkleTree) -> bool:
    """Whether a writer is at work and signs, while we look, what we read unsigned."""
    for _ in range(SIGNING_LOOKS):
        if not is_being_written(folder):
            return False
        head = next(iter(_read_head(folder, verifier, [])), None)
        if head is not None and head.size >= tree.size:
            return head.size > tree.size or head.root == tree.root()
        time.sleep(SIGNING_LOOK_S)
    return False


def _read_head(folder: Path, verifier: Verifier, problems: list[Problem]) -> list[Head]:
    path = folder / CHECKPOINT
    try:
        return [verifier.open(path.read_bytes(), path)]
    except FileNotFoundError:
        if not folder.is_dir():
            raise AuditError(f"{folder}: there is no audit log here") from None
        problems.append(Problem(kind="checkpoint", message=f"{path} is missing"))
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from error
    except AuditError as error:
        problems.append(Problem(kind="checkpoint", message=str(error)))
    return []


def _read_history(folder: Path, verifier: Verifier, problems: list[Problem]) -> list[Head]:
    path = folder / HISTORY
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from error
    heads: list[Head] = []
    # The last piece is what follows the last line feed: nothing, or what a crash cut short.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            note = msgspec.json.decode(line, type=str)
            if msgspec.json.encode(note) != line:
                raise AuditError(f"{path}: line {number} is not as it was written")
            heads.append(verifier.open(note.encode(), f"{path} line {number}"))
        except (msgspec.DecodeError, UnicodeError):
            problems.append(
                Problem(kind="history", message=f"{path}: line {number} is no checkpoint")
            )
        except AuditError as error:
            problems.append(Problem(kind="history", message=str(error)))
    return heads


def _open_kept(
    notes: Mapping[str, bytes], verifier: Verifier, problems: list[Problem]
) -> dict[str, Head]:
    heads: dict[str, Head] = {}
    for name, note in notes.items():
        try:
            heads[name] = verifier.open(note, name)
        except AuditError as error:
            problems.append(Problem(kind="kept-checkpoint", message=str(error)))
    return heads


def _read_records(folder: Path) -> tuple[MerkleTree, _Records]:
    tree = MerkleTree()
    first_cut: int | None = None
    first_odd: int | None = None
    sequences: list[int | None] = []
    for line in read_lines(folder):
        sequence = _sequence(line.data)
        if first_odd is None and sequence != tree.size:
            first_odd = tree.size
        if first_odd is not None and len(sequences) < LOOK_AHEAD:
            sequences.append(sequence)
        if first_cut is None and not line.whole:
            first_cut = tree.size
        tree.append(line.data)
    return tree, _Records(
        count=tree.size, first_cut=first_cut, first_odd=first_odd, sequences=tuple(sequences)
    )


def _sequence(line: bytes) -> int | None:
    try:
        return decode(line, AuditRecord, source="record").sequence
    except DocumentError:
        return None


def _first_wrong(
    heads: Sequence[Head], tree: MerkleTree, records: _Records
) -> tuple[int, int] | None:
    """Records [low, high) hold the first one that is not what was signed; None: there is none."""
    low = 0
    for head in heads:
        if head.size > tree.size:
            # Too short. When the numbers are in order, its end is missing; else a part inside.
            return None if records.first_odd is None else (low, head.size)
        if tree.root(head.size) != head.root:
            return low, head.size
        low = head.size
    return None


def _explain(wrong: tuple[int, int], tree: MerkleTree, records: _Records, signed: int) -> Problem:
    low, high = wrong
    odd = records.first_odd
    renumbered = records.sequences[:1] == (low,) and odd == low + 1
    if tree.size > signed and renumbered:
        text = f"a record was inserted as number {low}; the one that was there follows it"
        return Problem(kind="inserted", message=text, index=low)
    if odd is None or odd >= high:
        # Every record says the right number, so one was rewritten in its place.
        where = f"record {low}" if high - low == 1 else f"one of the records {low} to {high - 1}"
        return Problem(kind="changed", message=f"{where} is not what was signed", index=low)
    # A number out of its place is more exact than the signed heads, if they are far apart.
    index = odd
    if records.sequences[0] is None:
        return Problem(
            kind="changed", message=f"record {index} is not what was signed", index=index
        )
    found = records.sequences[0]
    if tree.size > signed and index in records.sequences[1:]:
        text = f"a record was inserted as number {index}; it says that it is {found}"
        return Problem(kind="inserted", message=text, index=index)
    if index in records.sequences[1:]:
        text = f"record {index} was moved: record {found} is in its place"
        return Problem(kind="reordered", message=text, index=index)
    if found > index and tree.size < signed:
        missing = f"record {index}" if found == index + 1 else f"records {index} to {found - 1}"
        return Problem(
            kind="removed", message=f"{missing} were removed; {found} follows", index=index
        )
    text = f"record {index} is not what was signed; it says that it is {found}"
    return Problem(kind="changed", message=text, index=index)


def _truncated(count: int, signed: int, source: str) -> Problem:
    return Problem(
        kind="truncated",
        message=f"the log ends after {count} records; {source} covers {signed}, so from record "
        f"{count} on they were removed",
        index=count,
    )


def _check_kept(
    kept: Mapping[str, Head],
    tree: MerkleTree,
    signed: int,
    problems: list[Problem],
    *,
    wrong_already: bool,
) -> list[int]:
    """The sizes of those that hold; a problem for the first that does not."""
    agreed: list[int] = []
    for name, head in sorted(kept.items(), key=lambda item: item[1].size):
        low = max(agreed, default=0)
        if head.size > min(tree.size, signed):
            problems.append(_truncated(min(tree.size, signed), head.size, f"checkpoint {name}"))
        elif tree.root(head.size) == head.root:
            agreed.append(head.size)
            continue
        elif not wrong_already:
            # The log agrees with its own heads but not with this one: it was written anew.
            problems.append(
                Problem(
                    kind="kept-checkpoint",
                    message=f"checkpoint {name} ({head.size} records) is of another log: it was "
                    f"rewritten from one of the records {low} to {head.size - 1} on and signed "
                    "again",
                    index=low,
                )
            )
        else:
            continue
        break
    return agreed
