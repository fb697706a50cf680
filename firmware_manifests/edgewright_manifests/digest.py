"""`sha256:` digests: of bytes, of files, and the check that a string is one."""

import hashlib
import re
from pathlib import Path
from typing import Annotated

import msgspec

PATTERN = r"^sha256:[0-9a-f]{64}$(?!\n)"
# Python's $ also matches before a final newline; \Z would be no pattern of JSON Schema.
Digest = Annotated[str, msgspec.Meta(pattern=PATTERN)]
"""`sha256:` and 64 lower-case hex digits."""

_MATCH = re.compile(PATTERN)


def digest_of(data: bytes) -> Digest:
    """The digest of `data`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> Digest:
    """The digest of the file's bytes, read in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def is_digest(text: str) -> bool:
    """Whether `text` is a well-formed digest."""
    return _MATCH.match(text) is not None
