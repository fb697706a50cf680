"""A folder of crates with a bound on its size; what was used longest ago goes first.

Several conversions may use it at once, and any may be killed: an entry appears by rename, is
held against its own digest whenever it is read, and an entry that vanished is a miss.
"""

import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgewright_converter.cache.key import Key
from edgewright_converter.errors import ConverterError

DEFAULT_BOUND_BYTES = 4 << 30
"""All candidates of a 20 MB model over 1000 samples take 0.2 to 1 GB, mostly the artifacts."""
_FORMAT = "v1"
_LARGEST_SHARE = 4
"""An entry of more than a quarter of the bound would throw out all others."""
_ABANDONED_S = 86_400.0
"""A staged file this old was left by a run that was killed."""
_SUFFIX = ".crate"


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What `edgewright cache show` tells."""

    folder: Path
    entries: int
    size_bytes: int


class Store:
    """Entries in `folder`, which is made when the first one comes."""

    def __init__(self, folder: Path, bound_bytes: int = DEFAULT_BOUND_BYTES) -> None:
        self._folder = folder / _FORMAT
        self._bound_bytes = bound_bytes

    def fetch(self, key: Key, target: Path) -> bool:
        """Put the entry at `target` and count it as used now; False when there is none."""
        entry = self._path(key)
        try:
            _link_or_copy(entry, target)
            os.utime(entry)
        except OSError:
            return target.exists()
        return True

    def keep(self, key: Key, crate: Path) -> None:
        """Add `crate` as the entry, and drop what exceeds the bound.

        Raises ConverterError when the folder cannot be written.
        """
        if crate.stat().st_size * _LARGEST_SHARE > self._bound_bytes:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self._folder) as staging:
                staged = Path(staging) / crate.name
                _link_or_copy(crate, staged)
                os.utime(staged)
                staged.replace(self._path(key))
            self._trim()
        except OSError as error:
            raise ConverterError(
                f"{self._folder}: the cache cannot be written ({error.strerror}); give another "
                "--cache-dir, or --no-cache"
            ) from error

    def drop(self, key: Key) -> None:
        """Remove an entry that turned out to be damaged."""
        self._path(key).unlink(missing_ok=True)

    def clear(self) -> CacheFacts:
        """Remove all entries, and tell what there was. Raises ConverterError."""
        facts = self.facts()
        try:
            if self._folder.exists():
                shutil.rmtree(self._folder)
        except OSError as error:
            raise ConverterError(
                f"{self._folder}: the cache cannot be removed ({error.strerror}); "
                "check its permissions"
            ) from error
        return facts

    def facts(self) -> CacheFacts:
        """How much there is."""
        entries = self._entries()
        return CacheFacts(self._folder, len(entries), sum(size for _, size, _ in entries))

    def _path(self, key: Key) -> Path:
        return self._folder / f"{key.name}{_SUFFIX}"

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(last used, bytes, path), longest ago first."""
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return sorted(found)

    def _trim(self) -> None:
        for staging in self._folder.glob(".new-*"):
            with suppress(FileNotFoundError):
                if time.time() - staging.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(staging, ignore_errors=True)
        entries = self._entries()
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self._bound_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links.
        shutil.copyfile(source, target)
