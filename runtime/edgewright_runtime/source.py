"""Where an update's bytes come from, whatever carries them: the one interface and its errors.

The update engine asks for metadata files and byte ranges; the link answers over HTTPS or
over MQTT. Nothing that a source gives is trusted: metadata is verified by TUF, blobs by
their digest.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

from edgewright_manifests.digest import Digest

from edgewright_runtime.errors import RuntimeFault

Repository = Literal["director", "image"]


class Span(NamedTuple):
    """A range of a blob, in bytes."""

    offset: int
    length: int


class SourceUnreachable(RuntimeFault):
    """The other side does not answer, or says that it cannot now (5xx): worth another try."""


class SourceRefused(RuntimeFault):
    """The other side answers that it will not (4xx): another try gives the same answer."""

    def __init__(self, wanted: str, status: int, problem: str) -> None:
        self.wanted = wanted
        self.status = status
        super().__init__(f"{wanted}: {problem} (status {status})")


class Source(Protocol):
    """One way to the fleet. Calls block and come from the update engine's thread only."""

    def metadata(self, repository: Repository, name: str, max_bytes: int) -> bytes:
        """One metadata file (`timestamp.json`) of a repository.

        Raises SourceUnreachable, and SourceRefused with status 404 when there is none.
        """

    def spans(self, digest: Digest, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        """The wanted ranges of a blob as (offset, bytes), in any order and any pieces.

        May end early without an error; the caller asks again for what is missing.
        Raises SourceUnreachable and SourceRefused.
        """


class FirstReachable:
    """Two sources as one: the second answers what the first cannot be reached for."""

    def __init__(self, first: Source, second: Source) -> None:
        self._first = first
        self._second = second

    def metadata(self, repository: Repository, name: str, max_bytes: int) -> bytes:
        """One metadata file; the first's refusal stands."""
        try:
            return self._first.metadata(repository, name, max_bytes)
        except SourceUnreachable as error:
            try:
                return self._second.metadata(repository, name, max_bytes)
            except SourceUnreachable as also:
                raise SourceUnreachable(f"{error}; {also}") from also

    def spans(self, digest: Digest, spans: Sequence[Span]) -> Iterator[tuple[int, bytes]]:
        """Ranges from the first: which one carries blobs is the director's choice."""
        return self._first.spans(digest, spans)
