"""How fast the audit log takes records durably, and how fast a long one is verified.

`python benchmarks/bench_audit.py [--folder DIR] [--records N]`; DIR should lie on the disk that
the fleet server will use, since an append waits for that disk.
"""

import argparse
import shutil
import tempfile
import threading
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edgewright_fleet.audit.heads import AuditKey
from edgewright_fleet.audit.log import AuditLog
from edgewright_fleet.audit.proofs import check_inclusion, prove_inclusion
from edgewright_fleet.audit.verify import verify_log

THREADS = 8


def write(log: AuditLog, operations: int) -> None:
    """`operations` times a record before and one after."""
    for number in range(operations):
        with log.operation(
            "device.commit",
            user=f"device:pi-{number}",
            command="report",
            resources=(f"device:pi-{number}", "rollout:r-1", "release:fashion/2"),
            rollback_available=True,
            model=("fashion", "2"),
        ):
            pass


def main() -> None:
    """Print one line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    parser.add_argument("--records", type=int, default=100_000)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-audit-", dir=arguments.folder))
    try:
        measure(folder, arguments.records)
    finally:
        shutil.rmtree(folder)


def measure(folder: Path, records: int) -> None:
    """One thread, many threads, opening anew, verifying, proving."""
    key = AuditKey(Ed25519PrivateKey.generate())
    log = AuditLog(folder / "log", key)
    alone = min(10_000, records)
    started = time.perf_counter()
    write(log, alone // 2)
    seconds = time.perf_counter() - started
    print(f"append, 1 thread:   {alone / seconds:8.0f} records/s ({alone} in {seconds:.1f} s)")

    each = max((records - alone) // THREADS // 2, 1)
    threads = [threading.Thread(target=write, args=(log, each)) for _ in range(THREADS)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    print(
        f"append, {THREADS} threads:  {each * THREADS * 2 / seconds:8.0f} records/s "
        f"({each * THREADS * 2} in {seconds:.1f} s)"
    )
    log.close()

    started = time.perf_counter()
    AuditLog(folder / "log", key).close()
    print(f"open:               {time.perf_counter() - started:8.2f} s")
    started = time.perf_counter()
    report = verify_log(folder / "log", key.public, {})
    print(
        f"verify {report.records} records: {time.perf_counter() - started:.2f} s, {report.intact=}"
    )
    started = time.perf_counter()
    proof = prove_inclusion(folder / "log", key.public, report.records // 2)
    made = time.perf_counter()
    check_inclusion(proof, key.public)
    print(
        f"prove one record:   {made - started:8.2f} s; {len(proof.proof)} hashes, "
        f"checked in {(time.perf_counter() - made) * 1e3:.2f} ms"
    )
    size = sum(path.stat().st_size for path in (folder / "log").rglob("*") if path.is_file())
    print(f"on disk:            {size / report.records:8.0f} bytes a record")


if __name__ == "__main__":
    main()
