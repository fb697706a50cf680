"""The audit log as the API reads it."""

from collections import deque
from collections.abc import Iterator, Sequence

from edgewright_manifests import documents

from edgewright_fleet.audit.export import signed_lines
from edgewright_fleet.audit.log import AuditLog
from edgewright_fleet.audit.proofs import InclusionProof, prove_inclusion
from edgewright_fleet.audit.records import AuditRecord
from edgewright_fleet.audit.segments import read_lines
from edgewright_fleet.audit.verify import VerifyReport, verify_log


class AuditAccess:
    """Fills the API's AuditReader. Calls block (disk)."""

    def __init__(self, log: AuditLog, public_key: str) -> None:
        self._log = log
        self._public_key = public_key

    def latest(self, limit: int) -> Sequence[AuditRecord]:
        """The newest records, the newest first."""
        lines = deque((line.data for line in read_lines(self._log.folder)), maxlen=limit)
        return [
            documents.decode(line, AuditRecord, source="audit record") for line in reversed(lines)
        ]

    def verify(self, checkpoint: str | None) -> VerifyReport:
        """Whether the log is what was signed; `checkpoint` is a copy kept elsewhere."""
        kept = {"the checkpoint sent": checkpoint.encode()} if checkpoint else None
        return verify_log(self._log.folder, self._public_key, kept)

    def export(self) -> Iterator[bytes]:
        """Every signed record as a JSON line, then the checkpoint."""
        return signed_lines(self._log.folder, self._public_key)

    def prove(self, index: int) -> InclusionProof:
        """The record at `index` with its inclusion proof."""
        return prove_inclusion(self._log.folder, self._public_key, index)
