"""The cursor on disk: read back as written, and no reason to stop when it is damaged."""

from pathlib import Path

from edgewright_manifests.messages import UpdateState
from edgewright_runtime.update.cursor import Cursor, CursorFile


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "update.json"
    CursorFile(path).change(state=UpdateState.DOWNLOAD, assignment=7, reason="why")
    assert CursorFile(path).now == Cursor(state=UpdateState.DOWNLOAD, assignment=7, reason="why")


def test_a_damaged_cursor_starts_from_idle(tmp_path: Path) -> None:
    path = tmp_path / "update.json"
    for content in (b"", b"{", b'{"state": "flying"}', b'{"nobody": 1}', b"\xff"):
        path.write_bytes(content)
        assert CursorFile(path).now == Cursor()
