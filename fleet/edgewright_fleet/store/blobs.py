"""Content-addressed files: `blobs/sha256/HEX`, whole and verified or not there at all."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from edgewright_manifests.digest import Digest, is_digest
from edgewright_manifests.documents import sync_folder

from edgewright_fleet.errors import UnknownName, UnprocessableError


class Blobs:
    """The folder of blobs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "sha256"
        self._folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: Digest) -> Path:
        """The file of a blob. Raises UnknownName, also for what is no digest."""
        path = self._path(digest)
        if not path.is_file():
            raise UnknownName(f"blob {digest} is not here; publish its bundle")
        return path

    def read(self, digest: Digest) -> bytes:
        """The whole blob. Raises UnknownName."""
        return self.path(digest).read_bytes()

    def missing(self, digests: Iterable[Digest]) -> list[Digest]:
        """Those that are not here, each once. Raises UnknownName for what is no digest."""
        return [d for d in dict.fromkeys(digests) if not self._path(d).is_file()]

    def receive(self, digest: Digest) -> "IncomingBlob":
        """Begin to store a blob piece by piece."""
        return IncomingBlob(self._path(digest), digest)

    def _path(self, digest: Digest) -> Path:
        if not is_digest(digest):
            raise UnknownName(f"{digest!r} is no digest; expected sha256: and 64 hex digits")
        return self._folder / digest.removeprefix("sha256:")


class IncomingBlob:
    """A blob under way; appears under its name only when its digest is right."""

    def __init__(self, path: Path, digest: Digest) -> None:
        self._path = path
        self._digest = digest
        self._hash = hashlib.sha256()
        descriptor, name = tempfile.mkstemp(prefix=".incoming.", dir=path.parent)
        self._file = os.fdopen(descriptor, "wb")
        self._name = Path(name)

    def write(self, piece: bytes) -> None:
        """Append."""
        self._hash.update(piece)
        self._file.write(piece)

    def commit(self) -> None:
        """Make it durable and visible. Raises UnprocessableError when the digest differs."""
        actual = "sha256:" + self._hash.hexdigest()
        if actual != self._digest:
            raise UnprocessableError(f"blob {self._digest}: the bytes sent have digest {actual}")
        self._file.flush()
        os.fchmod(self._file.fileno(), 0o644)
        os.fsync(self._file.fileno())
        self._file.close()
        self._name.replace(self._path)
        sync_folder(self._path.parent)

    def discard(self) -> None:
        """Remove what was written; after `commit` this does nothing."""
        self._file.close()
        self._name.unlink(missing_ok=True)
