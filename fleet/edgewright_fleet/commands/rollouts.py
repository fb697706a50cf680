"""`edgewright fleet rollout start|status|pause|resume|abort`."""

import argparse
import sys
import time
import urllib.parse

from edgewright_manifests.errors import UsageError
from edgewright_manifests.release import ProbationPolicy

from edgewright_fleet.commands.client import FleetClient, add_connection_arguments
from edgewright_fleet.commands.tables import ago, print_json, print_table
from edgewright_fleet.errors import RolloutHaltedError, UnreachableError
from edgewright_fleet.rollouts.model import (
    NewRollout,
    Outcome,
    Phase,
    Rollout,
    RolloutPolicy,
    RolloutState,
    RolloutStatus,
)

_POLL_S = 0.5
_PATIENCE_S = 30.0
"""How long `--wait` puts up with a server that is being restarted."""


def add(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = sub.add_parser("rollout", help="start, watch, pause, resume, abort rollouts")
    actions = parser.add_subparsers(dest="rollout_command", metavar="ACTION", required=True)
    _add_start(actions.add_parser("start", help="give a release to a group, phase by phase"))
    status = actions.add_parser("status", help="all rollouts, or one with its devices")
    status.add_argument("rollout", nargs="?")
    status.add_argument("--wait", action="store_true", help="until it ends; exit 1 if it halts")
    add_connection_arguments(status)
    status.set_defaults(fleet_act=_status)
    for verb, words in (
        ("pause", "assign nothing more; devices under way go on"),
        ("resume", "go on with a paused rollout"),
        ("abort", "end it; devices that did not commit get their previous release back"),
    ):
        action = actions.add_parser(verb, help=words)
        action.add_argument("rollout")
        if verb == "abort":
            action.add_argument(
                "--rollback", action="store_true", help="take back those that committed, too"
            )
        add_connection_arguments(action)
        action.set_defaults(fleet_act=_move)


def _add_start(parser: argparse.ArgumentParser) -> None:
    probation, policy = ProbationPolicy(), RolloutPolicy()
    parser.add_argument("release", metavar="NAME@VERSION")
    parser.add_argument("--group", default="all", help="default: all")
    parser.add_argument("--id", help="name of the rollout (default: made up)")
    parser.add_argument(
        "--canary", type=int, metavar="N", help="devices in the first phase (default: 1; 0: none)"
    )
    parser.add_argument(
        "--phase",
        action="append",
        default=[],
        metavar="N|P%",
        help="further phases, earlier ones included; 100%% is added at the end",
    )
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="S", help="watch each phase so long (default: 0)"
    )
    parser.add_argument(
        "--min-requests",
        type=int,
        default=probation.min_requests,
        metavar="N",
        help="live requests before a device may keep it (default: %(default)s)",
    )
    parser.add_argument(
        "--probation",
        type=float,
        default=probation.duration_s,
        metavar="S",
        help="seconds that it must hold up on a device (default: %(default)s)",
    )
    parser.add_argument(
        "--max-latency-ratio",
        type=float,
        default=probation.max_latency_ratio,
        metavar="R",
        help="median latency against the previous release's (default: %(default)s)",
    )
    parser.add_argument(
        "--max-error-rate",
        type=float,
        default=probation.max_error_rate,
        metavar="R",
        help="share of failed requests, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--max-failures",
        type=int,
        default=policy.max_failures,
        metavar="N",
        help="failed devices that do not halt it (default: %(default)s)",
    )
    parser.add_argument(
        "--device-timeout",
        type=float,
        metavar="S",
        help=f"seconds that a device may take (default: {policy.device_timeout_s:.0f}, or six "
        "times the probation where that is more)",
    )
    parser.add_argument(
        "--on-failure",
        choices=["restore", "rollback"],
        default=policy.on_failure,
        help="on a halt: restore those that did not commit, or take all back (default: restore)",
    )
    parser.add_argument(
        "--allow-older",
        action="store_true",
        help="let devices take a release older than the one they have",
    )
    parser.add_argument("--transport", choices=["https", "mqtt"], default=policy.transport)
    parser.add_argument(
        "--wait", action="store_true", help="until it ends; exit 1, with the reason, if it halts"
    )
    add_connection_arguments(parser)
    parser.set_defaults(fleet_act=_start)


def _start(arguments: argparse.Namespace) -> int:
    model, _, version = arguments.release.rpartition("@")
    if not model or not version:
        raise UsageError(f"{arguments.release!r}: expected NAME@VERSION, such as detector@v2")
    policy = RolloutPolicy(
        probation=ProbationPolicy(
            duration_s=arguments.probation,
            min_requests=arguments.min_requests,
            max_error_rate=arguments.max_error_rate,
            max_latency_ratio=arguments.max_latency_ratio,
        ),
        max_failures=arguments.max_failures,
        device_timeout_s=arguments.device_timeout
        or max(RolloutPolicy().device_timeout_s, 6 * arguments.probation),
        on_failure=arguments.on_failure,
        allow_older=arguments.allow_older,
        transport=arguments.transport,
    )
    wanted = NewRollout(
        model=model,
        version=version,
        group=arguments.group,
        phases=phases(arguments.canary, arguments.phase, arguments.soak),
        policy=policy,
        id=arguments.id,
        change_ticket=arguments.change_ticket,
    )
    client = FleetClient.from_arguments(arguments)
    status = client.post("/api/v1/rollouts", wanted, RolloutStatus)
    return _finish(client, status, arguments)


def phases(canary: int | None, words: list[str], soak_s: float) -> tuple[Phase, ...]:
    """The phases that the command line asks for. Raises UsageError."""
    found = []
    if canary is None:
        canary = 0 if words else 1
    if canary:
        found.append(Phase(count=canary, soak_s=soak_s))
    for word in words:
        try:
            if word.endswith("%"):
                found.append(Phase(percent=float(word[:-1]), soak_s=soak_s))
            else:
                found.append(Phase(count=int(word), soak_s=soak_s))
        except ValueError as error:
            raise UsageError(f"--phase {word!r}: expected a number or a percentage") from error
    if not found or found[-1].percent != 100.0:
        found.append(Phase(percent=100.0))
    return tuple(found)


def _status(arguments: argparse.Namespace) -> int:
    client = FleetClient.from_arguments(arguments)
    if arguments.rollout is not None:
        status = client.get(_path(arguments.rollout), RolloutStatus)
        return _finish(client, status, arguments)
    if arguments.wait:
        raise UsageError("rollout status --wait: which rollout?")
    rollouts = client.get("/api/v1/rollouts", list[Rollout])
    if arguments.json:
        print_json(rollouts)
    else:
        print_table(
            ["ROLLOUT", "RELEASE", "GROUP", "STATE", "PHASE", "STARTED", "REASON"],
            [
                (
                    r.id,
                    f"{r.model}@{r.version}",
                    r.group,
                    r.state,
                    f"{min(r.phase + 1, len(r.phases))}/{len(r.phases)}",
                    ago(r.created_at),
                    r.reason,
                )
                for r in rollouts
            ],
            "no rollouts yet; `edgewright fleet rollout start NAME@VERSION` starts one",
        )
    return 0


def _move(arguments: argparse.Namespace) -> int:
    client = FleetClient.from_arguments(arguments)
    body = {"rollback": True} if getattr(arguments, "rollback", False) else {}
    path = f"{_path(arguments.rollout)}/{arguments.rollout_command}"
    status = client.post(path, body, RolloutStatus)
    if arguments.json:
        print_json(status)
    else:
        _show(status)
    return 0


def _finish(client: FleetClient, status: RolloutStatus, arguments: argparse.Namespace) -> int:
    if arguments.wait:
        status = _wait(client, status)
    if arguments.json:
        print_json(status)
    else:
        _show(status)
    rollout = status.rollout
    if arguments.wait and rollout.state is not RolloutState.COMPLETE:
        raise RolloutHaltedError(f"rollout {rollout.id} {rollout.state}: {rollout.reason}")
    return 0


def _wait(client: FleetClient, status: RolloutStatus) -> RolloutStatus:
    shown = ""
    silent_since: float | None = None
    while True:
        line = progress(status)
        if line != shown:
            print(line, file=sys.stderr, flush=True)
            shown = line
        if status.rollout.state.final:
            return status
        time.sleep(_POLL_S)
        try:
            status = client.get(_path(status.rollout.id), RolloutStatus)
            silent_since = None
        except UnreachableError:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > _PATIENCE_S:
                raise


def progress(status: RolloutStatus) -> str:
    """One line: state, phase, and how many devices are where."""
    rollout = status.rollout
    counts = ", ".join(f"{count} {outcome}" for outcome, count in status.counts.items() if count)
    phase = f"phase {min(rollout.phase + 1, len(rollout.phases))}/{len(rollout.phases)}"
    steps = ", ".join(
        f"{device.device}: {device.step}"
        for device in status.devices
        if device.outcome is Outcome.IN_PROGRESS and device.step
    )
    return f"{rollout.id} {rollout.state}, {phase}: {counts}" + (f" ({steps})" if steps else "")


def _show(status: RolloutStatus) -> None:
    rollout = status.rollout
    print(f"{rollout.id}: {rollout.model}@{rollout.version} to {rollout.group}, {rollout.state}")
    if rollout.reason:
        print(f"  {rollout.reason}")
    print_table(
        ["DEVICE", "OUTCOME", "STEP", "REASON"],
        [
            (device.device, device.outcome.replace("_", " "), device.step, device.reason)
            for device in status.devices
        ],
        "it has no devices",
    )


def _path(rollout: str) -> str:
    return f"/api/v1/rollouts/{urllib.parse.quote(rollout, safe='')}"
