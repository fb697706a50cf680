"""How many connections this process can hold: each is a file descriptor."""

import logging
import resource

_log = logging.getLogger(__name__)
_RESERVED = 128
"""For models, engines, shared memory, the control socket and clients that are being refused."""


def connection_limit(wanted: int) -> int:
    """Raise the soft limit to the hard one; `wanted` connections, or as many as then fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass  # macOS says unlimited and takes less: then what we have is what we have
    fitting = wanted if soft == resource.RLIM_INFINITY else max(soft - _RESERVED, 1)
    if fitting < wanted:
        _log.warning(
            "connections limited limit=%d wanted=%d: raise the limit of open files (LimitNOFILE=)",
            fitting, wanted,
        )  # fmt: skip  # fields in one line
    return min(fitting, wanted)
