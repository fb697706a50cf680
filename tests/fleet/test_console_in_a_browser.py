"""The console's buttons, pressed in a real browser over the DevTools protocol."""

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.fleet.running import FleetProcess, wait_for
from tests.fleet.simulated_device import SimulatedDevice

Enrol = Callable[..., SimulatedDevice]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LIMIT_S = 30.0
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Page:
    """One tab."""

    def __init__(self, runner: asyncio.Runner, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._runner, self._socket = runner, socket
        self._number = 0
        self.faults: list[str] = []

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        self._number += 1
        return self._runner.run(self._send(self._number, method, parameters))

    async def _send(self, number: int, method: str, parameters: object) -> dict[str, Any]:
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json(timeout=LIMIT_S)
            if message.get("method") == "Runtime.exceptionThrown":
                self.faults.append(json.dumps(message["params"])[:500])
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])

    def evaluate(self, script: str) -> Any:
        result = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    def until(self, script: str) -> None:
        wait_for(script, lambda: self.evaluate(script), LIMIT_S)

    def press(self, label: str, where: str = "document") -> None:
        button = f"[...{where}.querySelectorAll('button')].find(b => b.textContent === '{label}')"
        self.until(f"{where} && {button} !== undefined")
        self.evaluate(f"{button}.click()")


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Page]:
    assert CHROMIUM is not None
    words = [CHROMIUM, "--headless", *QUIET, "--ignore-certificate-errors"]
    words += ["--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        file = profile / "DevToolsActivePort"
        wait_for("the browser", lambda: file.exists() and file.read_text().strip(), LIMIT_S)
        with asyncio.Runner() as runner:
            session, socket = runner.run(attach(file.read_text().split()[0]))
            page = Page(runner, socket)
            page.send("Runtime.enable")
            yield page
            runner.run(session.close())
    finally:
        process.terminate()
        process.wait(20)


async def attach(port: str) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json") as answer:
        tab = next(tab for tab in await answer.json() if tab["type"] == "page")
    return session, await session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_rollout_is_started_paused_resumed_and_aborted_by_its_buttons(
    fleet: FleetProcess, enrol: Enrol, published: dict[str, Any], tmp_path: Path
) -> None:
    device = enrol()
    fleet.command("groups", "create", "browsed", device.name)
    link = fleet.api("POST", "/api/v1/console-links", {})[1]["url"]
    with device.online() as client, browser(tmp_path / "profile") as page:
        device.report(client)
        page.send("Page.navigate", url=link)
        page.until("document.querySelector('.live.on') !== null")
        page.until(f"document.body.textContent.includes('{device.name}')")
        page.press("Start a rollout")
        page.until("document.querySelector('dialog [name=group]') !== null")
        page.evaluate(
            "document.querySelector('dialog [name=release]').value = 'detector@v1';"
            "document.querySelector('dialog [name=group]').value = 'browsed'"
        )
        page.press("Start", "document.querySelector('dialog')")
        mine = (
            "[...document.querySelectorAll('.rollout')]"
            ".find(r => r.textContent.includes('to browsed'))"
        )
        for label, state in (("Pause", "paused"), ("Resume", "running")):
            page.press(label, mine)
            page.until(f"{mine}.querySelector('.chip').textContent === '{state}'")
            assert state_of(fleet) == state
        page.press("Abort", mine)
        page.press("Abort", "document.querySelector('dialog')")
        wait_for("the end", lambda: state_of(fleet) == "aborted")
        page.press("Enrol a device")
        page.until("document.querySelector('dialog pre')?.textContent.includes('ew1.')")
        assert page.faults == []


def state_of(fleet: FleetProcess) -> str:
    rollouts = fleet.api("GET", "/api/v1/rollouts")[1]
    return next(str(r["state"]) for r in rollouts if r["group"] == "browsed")
