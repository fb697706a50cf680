"""What one conversion may use: processes, memory, time, and the cache."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

from edgewright_manifests.errors import UsageError

from edgewright_converter.children import Limits, default_jobs, default_memory_bytes
from edgewright_converter.config import default_cache_folder

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MAX_JOBS = 256
_LEAST_MEMORY_BYTES = 256 << 20
"""The libraries alone take 150 MB."""


@dataclass(frozen=True, slots=True)
class Means:
    """Nothing here changes a byte of an artifact."""

    jobs: int
    limits: Limits
    cache: Path | None
    """None: no cache."""
    cache_bytes: int


def means_of(arguments: argparse.Namespace) -> Means:
    """What the options of options.add_means say. Raises UsageError."""
    jobs = default_jobs() if arguments.jobs is None else arguments.jobs
    if not 1 <= jobs <= _MAX_JOBS:
        raise UsageError(f"--jobs {jobs}: expected 1 to {_MAX_JOBS}")
    memory_bytes = (
        default_memory_bytes()
        if arguments.memory_limit is None
        else size_bytes("--memory-limit", arguments.memory_limit)
    )
    if memory_bytes < _LEAST_MEMORY_BYTES:
        raise UsageError(f"--memory-limit {arguments.memory_limit}: expected 256M or more")
    if not arguments.step_limit > 0:
        raise UsageError(f"--step-limit {arguments.step_limit}: expected more than 0 seconds")
    if arguments.no_cache and arguments.cache_dir is not None:
        raise UsageError("--no-cache and --cache-dir: give one of them")
    cache = None if arguments.no_cache else arguments.cache_dir or default_cache_folder()
    return Means(
        jobs,
        Limits(memory_bytes, arguments.step_limit),
        cache,
        size_bytes("--cache-size", arguments.cache_size),
    )


def size_bytes(option: str, text: str) -> int:
    """`800M`, `3G` or plain bytes. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)i?B?", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"{option} {text}: expected a size such as 800M or 3G")
    return int(found[1]) * _UNITS[found[2].upper()]
