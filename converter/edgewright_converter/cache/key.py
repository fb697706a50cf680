"""The name of a cache entry: a digest over everything that can change a byte of it."""

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.digest import Digest

import edgewright_converter
from edgewright_converter.provenance import tools_here


@dataclass(frozen=True, slots=True)
class Key:
    """Parts in order; equal parts, equal entry."""

    parts: tuple[str, ...]

    def with_parts(self, *more: str) -> "Key":
        """A longer key."""
        return Key((*self.parts, *more))

    @property
    def name(self) -> str:
        """64 hexadecimal digits; the parts are told apart by their lengths."""
        told = hashlib.sha256()
        for part in self.parts:
            data = part.encode()
            told.update(len(data).to_bytes(8, "little") + data)
        return told.hexdigest()


def environment_key() -> Key:
    """Versions of all tools, this processor, and the converter's own code."""
    return Key((*(f"{tool} {version}" for tool, version in tools_here()), _code_digest()))


@functools.cache
def _code_digest() -> Digest:
    """Over the converter's modules, so that a changed recipe never finds an old entry."""
    folder = Path(edgewright_converter.__file__).parent
    return _digest(sorted(folder.rglob("*.py")), folder)


def _digest(paths: Iterable[Path], folder: Path) -> Digest:
    told = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        told.update(f"{path.relative_to(folder)} {len(content)}\n".encode() + content)
    return f"sha256:{told.hexdigest()}"
