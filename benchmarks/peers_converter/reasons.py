"""Says, for every figure in which a peer's file is ahead of ours, why ours is what ships."""

from collections.abc import Mapping

from benchmarks.peers_converter.cells import Cell

WHY: Mapping[tuple[str, str, str, str], str] = {}
"""(model, target, by, figure): what only a person can tell. The table asks for it by name."""

_POINTS = 0.005
"""Half a point of any share: the scale of a thousand samples."""
_COSINE = 0.001
_DB = 1.0
_SPEED = 1.07
"""Two runs of one file on this machine differ by as much."""
_SIZE = 0.97


def losses(ours: Cell, peer: Cell) -> dict[str, str]:
    """By figure (quality, speed, size) in which `peer` is ahead: the reason, "" for none known."""
    ahead = [name for name, won in _compared(peer, ours).items() if won]
    if not ahead or peer.judged is None:
        return {}
    won = [name for name, won in _compared(ours, peer).items() if won]
    found = {}
    for figure in ahead:
        told = WHY.get((peer.model, peer.target, peer.by, figure), "")
        if not told and peer.judged.gate:
            told = f"it does not pass the gates: {peer.judged.gate}"
        if not told and won:
            told = f"ours is ahead in {' and '.join(won)}"
        found[figure] = told
    return found


def _compared(one: Cell, other: Cell) -> dict[str, bool]:
    """In what `one` is ahead of `other` by more than measuring it again would change."""
    return {
        "quality": _quality(one, other),
        "speed": one.timed is not None
        and other.timed is not None
        and one.timed.speed_up > other.timed.speed_up * _SPEED,
        "size": 0 < one.size_bytes < other.size_bytes * _SIZE,
    }


def _quality(one: Cell, other: Cell) -> bool:
    if one.judged is None or other.judged is None:
        return False
    mine, theirs = one.judged.right, other.judged.right
    if mine is not None and theirs is not None:
        return mine.value > theirs.value + (_COSINE if mine.name == "cosine" else _POINTS)
    return one.judged.snr_db > other.judged.snr_db + _DB
