"""The options of `edgewright convert` about quality: metrics, gates, pre-processing."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from edgewright_manifests.documents import read_json
from edgewright_manifests.errors import UsageError
from edgewright_manifests.preprocessing import Preprocessing

from edgewright_converter.request import Gates, MetricGate, MetricRequest


class _Metrics(argparse.Action):
    """Collects metrics; the word `list` prints what there is and ends the program."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        """See argparse.Action."""
        if values == "list":
            # Here, not above: the metrics need numpy, `--help` does not.
            from edgewright_converter.measure.metrics import describe_metrics

            sys.stdout.write("\n".join(describe_metrics()) + "\n")
            parser.exit()
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), values])


def add_quality(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    gates = Gates()
    parser.add_argument(
        "--max-accuracy-drop",
        type=float,
        default=gates.max_accuracy_drop,
        metavar="SHARE",
        help=f"most accuracy that may be lost, 0 to 1 (default: {gates.max_accuracy_drop})",
    )
    parser.add_argument(
        "--min-agreement",
        type=float,
        metavar="SHARE",
        help="without labels: least share of answers that must equal the float model's "
        f"(default: {gates.min_top1_agreement}, unless there is a --gate)",
    )
    parser.add_argument(
        "--min-snr",
        type=float,
        metavar="DB",
        help="without labels and classes: least signal to noise in decibels "
        f"(default: {gates.min_snr_db:.0f}, unless there is a --gate)",
    )
    parser.add_argument(
        "--max-slice-drop",
        type=float,
        default=gates.max_slice_drop,
        metavar="SHARE",
        help="most that any class or slice of 50 samples or more may lose beyond noise, 0 to 1 "
        f"(default: {gates.max_slice_drop})",
    )
    parser.add_argument(
        "--metric",
        action=_Metrics,
        default=[],
        metavar="NAME[:OPTION=VALUE,...]",
        help="measure this too, or your own module:function; `--metric list` says what there is; "
        "may be given several times",
    )
    parser.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="METRIC<=X|METRIC>=X",
        help="what a metric must keep, as 'cer<=0.02', 'top1>=0.98' or "
        "'lines:against=truth>=0.95*float'; may be given several times",
    )
    parser.add_argument(
        "--preprocessing",
        type=Path,
        metavar="F.json",
        help="how raw samples (arrays `raw.INPUT`) become inputs; recorded in the bundle",
    )


def gates_of(arguments: argparse.Namespace) -> Gates:
    """What must be kept. Raises UsageError."""
    defaults = Gates()
    for option in ("max_accuracy_drop", "min_agreement", "max_slice_drop"):
        value = getattr(arguments, option)
        if value is not None and not 0 <= value <= 1:
            raise UsageError(
                f"--{option.replace('_', '-')} {value}: expected 0 to 1 (0.01 is one point)"
            )
    for option in ("max_latency_ms", "max_size"):
        limit = getattr(arguments, option)
        if limit is not None and not limit > 0:
            raise UsageError(f"--{option.replace('_', '-')} {limit}: expected more than 0")
    agreement, snr_db = arguments.min_agreement, arguments.min_snr
    return Gates(
        max_accuracy_drop=arguments.max_accuracy_drop,
        min_top1_agreement=defaults.min_top1_agreement if agreement is None else agreement,
        min_snr_db=defaults.min_snr_db if snr_db is None else snr_db,
        max_latency_ms=arguments.max_latency_ms,
        max_size_bytes=arguments.max_size,
        metrics=_metric_gates(arguments),
        max_slice_drop=arguments.max_slice_drop,
    )


def metrics_of(arguments: argparse.Namespace) -> tuple[MetricRequest, ...]:
    """What to measure. Raises UsageError, also for what only a gate asks for."""
    if not (arguments.metric or arguments.gate):
        return ()
    from edgewright_converter.measure.metrics import build_metrics, parse_metric

    wanted = tuple(parse_metric(text) for text in arguments.metric)
    build_metrics(wanted, _metric_gates(arguments))
    return wanted


def preprocessing_of(arguments: argparse.Namespace) -> Preprocessing | None:
    """The recorded pre-processing. Raises DocumentError, naming an unknown step."""
    if arguments.preprocessing is None:
        return None
    return read_json(arguments.preprocessing, Preprocessing)


def _metric_gates(arguments: argparse.Namespace) -> tuple[MetricGate, ...]:
    if not arguments.gate:
        return ()
    from edgewright_converter.measure.metrics import parse_gate

    gates = [parse_gate(text) for text in arguments.gate]
    # A person who gives these beside a gate wants them kept too.
    if arguments.min_agreement is not None:
        gates.append(MetricGate(MetricRequest("top1"), True, arguments.min_agreement))
    if arguments.min_snr is not None:
        gates.append(MetricGate(MetricRequest("snr"), True, arguments.min_snr))
    return tuple(gates)
