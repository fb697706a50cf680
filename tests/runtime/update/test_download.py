"""Downloads: resumed to the chunk, verified to the bit, bounded by the disk."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from edgewright_manifests.bundle import Descriptor
from edgewright_manifests.digest import Digest, digest_of
from edgewright_runtime.source import Repository, SourceRefused, SourceUnreachable, Span
from edgewright_runtime.update import download
from edgewright_runtime.update.download import (
    CHUNK_BYTES,
    DownloadRefused,
    Downloads,
    DownloadStopped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

DATA = bytes(i * 7 % 251 for i in range(5 * CHUNK_BYTES + 1234))


def blob(data: bytes) -> Descriptor:
    return Descriptor("application/octet-stream", digest_of(data), len(data), "model.onnx")


def never() -> bool:
    return False


class Memory:
    """A source that has blobs in memory and breaks off after so many pieces."""

    def __init__(
        self, data: bytes, *, break_after: int | None = None, piece: int = CHUNK_BYTES
    ) -> None:
        self.data = data
        self.break_after = break_after
        self.piece = piece
        self.sent = 0

    def metadata(self, repository: Repository, name: str, max_bytes: int) -> bytes:
        raise SourceRefused(name, 404, "there is none")

    def spans(self, digest: Digest, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        pieces = 0
        for span in spans:
            for at in range(span.offset, span.offset + span.length, self.piece):
                if pieces == self.break_after:
                    raise SourceUnreachable("the line broke")
                piece = self.data[at : min(at + self.piece, span.offset + span.length)]
                self.sent += len(piece)
                pieces += 1
                yield at, piece


def test_a_blob_arrives_whole_and_is_not_fetched_again(tmp_path: Path) -> None:
    downloads, source = Downloads(tmp_path), Memory(DATA)
    downloads.fetch(blob(DATA), source, stop=never)
    assert downloads.path(digest_of(DATA)).read_bytes() == DATA
    downloads.fetch(blob(DATA), source, stop=never)
    assert source.sent == len(DATA)
    assert downloads.fetched_bytes == len(DATA)


def test_a_broken_line_costs_no_chunk_that_was_there(tmp_path: Path) -> None:
    source = Memory(DATA, break_after=3)
    with pytest.raises(SourceUnreachable, match="line broke"):
        Downloads(tmp_path).fetch(blob(DATA), source, stop=never)
    source.break_after = None
    Downloads(tmp_path).fetch(blob(DATA), source, stop=never)  # as after a restart
    assert source.sent == len(DATA)
    assert Downloads(tmp_path).path(digest_of(DATA)).read_bytes() == DATA


def test_a_source_that_ends_early_is_asked_again(tmp_path: Path) -> None:
    class Short(Memory):
        def spans(self, digest: Digest, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
            yield from super().spans(digest, spans[:2])

    with pytest.raises(SourceUnreachable, match="ended early"):
        Downloads(tmp_path).fetch(blob(DATA), Short(DATA), stop=never)
    downloads = Downloads(tmp_path)
    downloads.fetch(blob(DATA), Memory(DATA), stop=never)
    assert downloads.fetched_bytes == len(DATA) - 2 * CHUNK_BYTES


def test_a_stop_keeps_what_is_there(tmp_path: Path) -> None:
    source, calls = Memory(DATA), iter([False, True])
    with pytest.raises(DownloadStopped):
        Downloads(tmp_path).fetch(blob(DATA), source, stop=lambda: next(calls))
    assert source.sent == 2 * CHUNK_BYTES
    Downloads(tmp_path).fetch(blob(DATA), source, stop=never)
    assert source.sent == len(DATA)


def test_tampered_bytes_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    tampered = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with pytest.raises(DownloadRefused, match=r"another digest.*tampered.*nothing was installed"):
        Downloads(tmp_path).fetch(blob(DATA), Memory(tampered), stop=never)
    assert list(tmp_path.iterdir()) == []


def test_a_part_torn_by_a_power_cut_is_fetched_anew(tmp_path: Path) -> None:
    source = Memory(DATA, break_after=3)
    with pytest.raises(SourceUnreachable):
        Downloads(tmp_path).fetch(blob(DATA), source, stop=never)
    part = next(tmp_path.glob("*.part"))
    torn = bytearray(part.read_bytes())
    torn[CHUNK_BYTES : 2 * CHUNK_BYTES] = bytes(CHUNK_BYTES)  # what the disk never got
    part.write_bytes(torn)
    source.break_after = None
    downloads = Downloads(tmp_path)
    downloads.fetch(blob(DATA), source, stop=never)
    assert downloads.path(digest_of(DATA)).read_bytes() == DATA


def _cut_map(folder: Path) -> None:
    path = next(folder.glob("*.map"))
    path.write_bytes(path.read_bytes()[:1])


def _no_map(folder: Path) -> None:
    next(folder.glob("*.map")).unlink()


def _cut_part(folder: Path) -> None:
    path = next(folder.glob("*.part"))
    path.write_bytes(path.read_bytes()[:100])


def _no_part(folder: Path) -> None:
    next(folder.glob("*.part")).unlink()


@pytest.mark.parametrize("damage", [_cut_map, _no_map, _cut_part, _no_part])
def test_a_damaged_part_or_map_does_no_harm(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    with pytest.raises(SourceUnreachable):
        Downloads(tmp_path).fetch(blob(DATA), Memory(DATA, break_after=3), stop=never)
    damage(tmp_path)
    downloads = Downloads(tmp_path)
    downloads.fetch(blob(DATA), Memory(DATA), stop=never)
    assert downloads.path(digest_of(DATA)).read_bytes() == DATA


def test_too_small_a_disk_is_found_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads = Downloads(tmp_path)
    downloads.check_room([blob(DATA)])
    huge = Descriptor("", digest_of(b"huge"), 1 << 60, "model.onnx")
    with pytest.raises(DownloadRefused, match=r"only \d+ free; free some space"):
        downloads.check_room([huge])
    downloads.fetch(blob(DATA), Memory(DATA), stop=never)
    monkeypatch.setattr(download, "RESERVE_BYTES", 0)
    downloads.check_room([blob(DATA)])


def test_what_is_not_wanted_any_more_is_removed(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path)
    downloads.fetch(blob(DATA), Memory(DATA), stop=never)
    with pytest.raises(SourceUnreachable):
        downloads.fetch(blob(DATA[1:]), Memory(DATA[1:], break_after=1), stop=never)
    downloads.keep_only({digest_of(DATA[1:])})
    assert {path.suffix for path in tmp_path.iterdir()} == {".part", ".map"}
    downloads.keep_only(set())
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 3 * CHUNK_BYTES), piece=st.integers(1000, 2 * CHUNK_BYTES))
def test_pieces_of_any_size_make_the_blob(
    tmp_path_factory: pytest.TempPathFactory, size: int, piece: int
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    data = DATA[:size]
    downloads = Downloads(folder)
    downloads.fetch(blob(data), Memory(data, piece=piece), stop=never)
    assert downloads.path(digest_of(data)).read_bytes() == data


def test_bytes_outside_the_blob_are_ignored(tmp_path: Path) -> None:
    class Wild(Memory):
        def spans(self, digest: Digest, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
            yield -5, b"before"
            yield len(self.data) + 5, b"after"
            yield 0, self.data + b"and more"

    downloads = Downloads(tmp_path)
    downloads.fetch(blob(DATA), Wild(DATA), stop=never)
    assert downloads.path(digest_of(DATA)).read_bytes() == DATA
