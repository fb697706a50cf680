"""`--metric` and `--gate` as they are written: `cer:blank=0`, `cer<=0.02`, `lines>=0.95*float`."""

import re

from edgewright_manifests.errors import UsageError

from edgewright_converter.measure.metrics.catalogue import KINDS
from edgewright_converter.request import MetricGate, MetricRequest

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_GATE = re.compile(r"(?P<metric>.+?)\s*(?P<sign><=|>=)\s*(?P<bound>[^<>]+)")
_BOUND = re.compile(
    r"(?P<number>[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?)(?P<of_float>\s*\*\s*float)?", re.IGNORECASE
)


def parse_metric(text: str) -> MetricRequest:
    """`NAME`, `NAME:option=value,...` or `module:function`. Raises UsageError."""
    name, colon, rest = text.partition(":")
    if name not in KINDS and _FUNCTION.fullmatch(text):
        return MetricRequest("custom", (("function", text),))
    pairs = []
    for word in rest.split(",") if colon else []:
        option, equals, value = word.partition("=")
        if not (option and equals and value):
            raise UsageError(
                f"--metric {text}: expected NAME, NAME:option=value,... or module:function"
            )
        pairs.append((option.strip(), value.strip()))
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--metric {text}: expected NAME, NAME:option=value,... or module:function"
        )
    return MetricRequest(name, tuple(pairs))


def parse_gate(text: str) -> MetricGate:
    """`METRIC<=BOUND` or `METRIC>=BOUND`; the bound is a number, or `0.95*float`.

    Raises UsageError.
    """
    found = _GATE.fullmatch(text.strip())
    bound = _BOUND.fullmatch(found["bound"].strip()) if found else None
    if found is None or bound is None:
        raise UsageError(
            f"--gate {text}: expected METRIC<=NUMBER or METRIC>=NUMBER, as in 'cer<=0.02', "
            "'top1>=0.98' or 'lines:against=truth>=0.95*float'"
        )
    return MetricGate(
        parse_metric(found["metric"]),
        at_least=found["sign"] == ">=",
        bound=float(bound["number"]),
        of_float=bound["of_float"] is not None,
    )
