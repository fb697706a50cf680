"""`python -m edgewright_runtime.agent`: the line to the fleet and the update engine.

The composition root of the second process. It imports no engine: what must touch a model
runs in a child (preflight.py). Tasks, under one TaskGroup:

    updates     takes the update engine's steps, one at a time, in a thread of its own
    reporting   signs and publishes the version report on every change, and now and then
    outbox      sends events until the broker has them
    telemetry   sends figures that may be lost
    targets     asks a child once what this machine can run
"""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvloop
from edgewright_manifests import documents
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.messages import Desired
from edgewright_manifests.release import Transport
from edgewright_manifests.topics import DeviceTopics

from edgewright_runtime.config import RuntimeConfig, read_fault
from edgewright_runtime.control_client import ControlClient
from edgewright_runtime.errors import one_line
from edgewright_runtime.lifeline import die_with_parent
from edgewright_runtime.link.https import HttpsSource
from edgewright_runtime.link.identity import Identity, NotEnrolled, read_identity
from edgewright_runtime.link.mqtt import Callbacks, MqttLink
from edgewright_runtime.link.outbox import Outbox
from edgewright_runtime.link.rpc import MqttSource
from edgewright_runtime.logs import FORMATS, configure
from edgewright_runtime.reporting import Reporter
from edgewright_runtime.source import FirstReachable, Source
from edgewright_runtime.supervisor import EXIT_CONFIG
from edgewright_runtime.update.backoff import Backoff
from edgewright_runtime.update.clock import TrustedClock
from edgewright_runtime.update.cursor import CursorFile
from edgewright_runtime.update.download import Downloads
from edgewright_runtime.update.faults import Reach
from edgewright_runtime.update.live import LiveSteps, Pace
from edgewright_runtime.update.machine import Milestone, UpdateEngine
from edgewright_runtime.update.metadata import Device, Verifier
from edgewright_runtime.update.preflight import probe_targets, run_preflight
from edgewright_runtime.update.slots import Slots
from edgewright_runtime.update.steps import Steps
from edgewright_runtime.update.switching import Switching

_LOG = logging.getLogger(__name__)

OUTBOX_RETRY_S = 30.0
"""For events that the broker refused; others are sent as they come."""
AFTER_DEFECT_S = 5.0
MAX_DEFECTS = 3
"""In a row, after which the update is ended: refused, or taken back."""


class Agent:
    """One device's agent, wired."""

    def __init__(
        self,
        config: RuntimeConfig,
        identity: Identity,
        loop: asyncio.AbstractEventLoop,
        reach: Reach,
    ) -> None:
        state = config.state
        self._config = config
        self._loop = loop
        self._rung = asyncio.Event()
        self._changed = asyncio.Event()
        self._outgoing = asyncio.Event()
        self._stopped = asyncio.Event()
        clock = TrustedClock(state / "time.json", signed=(identity.issued,))
        self._outbox = Outbox(state / "outbox.sqlite", first_sequence=int(clock.now().timestamp()))
        record = identity.record
        topics = DeviceTopics(record.tenant, record.device)
        context = partial(identity.tls, clock_is_behind=clock.is_behind())
        callbacks = Callbacks(self._on_connected, self._on_desired, self._on_acknowledged)
        self._link = MqttLink(
            record.mqtt_host, record.mqtt_port, topics, context(), self._outbox, callbacks
        )
        https = HttpsSource(record.device_url, context)
        mqtt = MqttSource(self._link.rpc)
        sources: dict[Transport, Source] = {"https": https, "mqtt": mqtt}
        first, second = (https, mqtt) if record.transport == "https" else (mqtt, https)
        slots = Slots(state, reach=reach)
        switching = Switching(ControlClient(config.control_socket))
        cursor = CursorFile(state / "update.json")
        self._reporter = Reporter(
            identity, self._outbox, cursor, slots, switching, state / "targets.json", clock.now
        )
        device = Device(
            record.device,
            record.hardware_id,
            record.director_root.encode(),
            record.image_root.encode(),
        )
        live = LiveSteps(
            cursor,
            slots,
            switching,
            pace=Pace(poll_s=config.update.probation_poll_s, baseline_s=config.update.baseline_s),
            now=clock.now,
            reach=reach,
        )
        backoff = Backoff()
        steps = Steps(
            cursor=cursor,
            verifier=Verifier(state / "tuf", device, FirstReachable(first, second), clock.now),
            sources=sources,
            downloads=Downloads(state / "downloads", reach=reach),
            slots=slots,
            preflight=partial(
                run_preflight,
                threads=config.threads,
                time_limit_s=config.update.preflight_limit_s,
            ),
            live=live,
            backoff=backoff,
            max_tries=config.update.download_tries,
        )
        self._engine = UpdateEngine(
            cursor,
            steps,
            poll_s=config.update.poll_s,
            report=self._on_milestone,
            backoff=backoff,
            reach=reach,
        )

    async def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stopped.set)
        self._link.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                updates = tasks.create_task(self._updates(), name="updates")
                endless = [
                    tasks.create_task(self._reporting(), name="reporting"),
                    tasks.create_task(self._send_outbox(), name="outbox"),
                    tasks.create_task(self._telemetry(), name="telemetry"),
                    tasks.create_task(self._targets(), name="targets"),
                ]
                await self._stopped.wait()
                # The running step ends at its next safe place; the state on disk says the rest.
                self._engine.stop()
                self._rung.set()
                await updates
                for task in endless:
                    task.cancel()
        finally:
            await asyncio.to_thread(self._link.stop)
            self._outbox.close()

    async def _updates(self) -> None:
        defects = 0
        with ThreadPoolExecutor(1, thread_name_prefix="updates") as thread:
            while not self._stopped.is_set():
                self._rung.clear()
                try:
                    wait_s = await self._loop.run_in_executor(thread, self._engine.advance)
                    defects = 0
                except Exception as error:
                    # A defect of ours in one step must not take the line to the fleet with it.
                    _LOG.exception("update step failed")
                    wait_s, defects = AFTER_DEFECT_S, defects + 1
                    if defects >= MAX_DEFECTS:
                        reason = f"the runtime failed at it: {one_line(error)}"
                        await self._loop.run_in_executor(thread, self._engine.abandon, reason)
                await _wait(self._rung, wait_s)

    async def _reporting(self) -> None:
        while True:
            if self._reporter.knows_targets and self._link.is_connected():
                self._link.publish_report(await asyncio.to_thread(self._reporter.report))
            await _wait(self._changed, self._config.report_s)
            self._changed.clear()

    async def _send_outbox(self) -> None:
        while True:
            await asyncio.to_thread(self._link.flush)
            await _wait(self._outgoing, OUTBOX_RETRY_S)
            self._outgoing.clear()

    async def _telemetry(self) -> None:
        while True:
            await asyncio.sleep(self._config.telemetry_s)
            payload = await asyncio.to_thread(self._reporter.telemetry)
            if payload is not None:
                self._link.publish_telemetry(payload)

    async def _targets(self) -> None:
        if self._reporter.learn_targets(await asyncio.to_thread(probe_targets)):
            self._changed.set()

    # The rest is called from other threads: paho's, and the update engine's.
    def _on_connected(self) -> None:
        self._wake(self._changed)
        self._wake(self._outgoing)

    def _on_desired(self, desired: Desired) -> None:
        self._engine.ring(desired.generation)
        self._wake(self._rung)

    def _on_acknowledged(self) -> None:
        self._wake(self._outgoing)

    def _on_milestone(self, milestone: Milestone) -> None:
        self._reporter.keep_event(milestone)
        self._wake(self._outgoing)
        self._wake(self._changed)

    def _wake(self, event: asyncio.Event) -> None:
        self._loop.call_soon_threadsafe(event.set)


async def _wait(event: asyncio.Event, limit_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()


async def _run(config: RuntimeConfig, identity: Identity) -> None:
    await Agent(config, identity, asyncio.get_running_loop(), read_fault()).run()


def main(words: Sequence[str] | None = None) -> int:
    """0 after SIGTERM; 78 when this device is not enrolled; 1 when it cannot start otherwise."""
    parser = argparse.ArgumentParser(prog="edgewright_runtime.agent")
    parser.add_argument("--config", required=True, help="a RuntimeConfig as JSON")
    parser.add_argument("--parent", type=int, help="die when this process does")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", default="text", choices=FORMATS)
    arguments = parser.parse_args(words)
    if arguments.parent is not None:
        die_with_parent(arguments.parent)
    configure(arguments.log_level, arguments.log_format)
    try:
        config = documents.decode(arguments.config, RuntimeConfig, source="--config")
        uvloop.run(_run(config, read_identity(config.state)))
    except NotEnrolled as error:
        sys.stderr.write(f"edgewright agent: {error}\n")
        return EXIT_CONFIG
    except EdgewrightError as error:
        sys.stderr.write(f"edgewright agent: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
