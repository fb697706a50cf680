"""Who may ask at the TCP doors: callers that show a token of the operator's file."""

import hmac
import os
import stat
from pathlib import Path

from edgewright_runtime.errors import DoorUnavailable

_SHORTEST = 16
_MOST_BYTES = 64 << 10
REMEDY = "send the header 'Authorization: Bearer TOKEN'"


class Access:
    """The tokens of a file, one per line, so that a new one can be let in beside the old.

    Empty lines and lines that begin with # are left out. Read at the start and by `reload`.
    """

    def __init__(self, path: Path) -> None:
        """Raises DoorUnavailable for a file that cannot be read, or holds no good token."""
        self._path = path
        self._tokens = _read(path)

    def reload(self) -> None:
        """Read the file again; on an error (DoorUnavailable) the old tokens stay good."""
        self._tokens = _read(self._path)

    def problem(self) -> str | None:
        """What is unwise about the file, for a warning."""
        if stat.S_IMODE(self._path.stat().st_mode) & 0o077:
            return f"other users can read the tokens in {self._path}; chmod 600 it"
        return None

    def admits(self, authorization: bytes | None) -> bool:
        """Whether the value of an Authorization header shows a token (RFC 6750, 2.1)."""
        if authorization is None:
            return False
        scheme, _, shown = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return False
        shown = shown.strip()
        # Every token is compared, in constant time: how long it takes tells nothing.
        found = False
        for token in self._tokens:
            found |= hmac.compare_digest(token, shown)
        return found


def first_token(path: Path) -> bytes:
    """What a caller shows. Raises DoorUnavailable for a file without a good token."""
    return _read(path)[0]


def _read(path: Path) -> tuple[bytes, ...]:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise DoorUnavailable(f"--token-file {path} has more than {_MOST_BYTES} bytes")
            lines = [line.strip() for line in file.read(_MOST_BYTES).splitlines()]
    except OSError as error:
        raise DoorUnavailable(f"--token-file {path} cannot be read: {error.strerror}") from error
    tokens = tuple(line for line in lines if line and not line.startswith(b"#"))
    if not tokens:
        raise DoorUnavailable(f"--token-file {path} holds no token; openssl rand -hex 32 > {path}")
    for number, token in enumerate(tokens, start=1):
        if len(token) < _SHORTEST or not token.isascii() or b" " in token:
            raise DoorUnavailable(
                f"--token-file {path}: token {number} is no {_SHORTEST} or more ASCII characters "
                "without spaces; openssl rand -hex 32 makes a good one"
            )
    return tokens
