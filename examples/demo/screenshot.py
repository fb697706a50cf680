"""A picture of a live page, by Chromium's DevTools protocol.

`chromium --screenshot` waits for a page to stop loading; a page that listens to a live
stream never does.
"""

import asyncio
import base64
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--ignore-certificate-errors", "--hide-scrollbars", "--remote-debugging-port=0",
)  # fmt: skip  # flags read best in a row
START_S = 20.0


def find_browser() -> str | None:
    """Chromium or Chrome, where one is installed."""
    return shutil.which("chromium") or shutil.which("google-chrome")


def take(browser: str, url: str, picture: Path, profile: Path, settle_s: float = 3.0) -> None:
    """Open `url` in a window 1280 wide, wait `settle_s`, write a PNG of the whole page.

    Raises OSError when the browser does not start.
    """
    process = subprocess.Popen(
        [browser, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        picture.write_bytes(asyncio.run(_take(url, _debugging_port(profile), settle_s)))
    finally:
        process.terminate()
        process.wait()


def _debugging_port(profile: Path) -> int:
    file = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_S
    while not (file.exists() and file.read_text().strip()):
        if time.monotonic() > deadline:
            raise OSError("the browser did not start")
        time.sleep(0.05)
    return int(file.read_text().split()[0])


async def _take(url: str, port: int, settle_s: float) -> bytes:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json") as answer:
            tabs: list[dict[str, Any]] = await answer.json()  # Any: the protocol's own document
        page = next(tab for tab in tabs if tab["type"] == "page")
        async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            await _call(socket, 1, "Emulation.setDeviceMetricsOverride", width=1280, height=900,
                        deviceScaleFactor=1, mobile=False)  # fmt: skip  # one call
            await _call(socket, 2, "Page.navigate", url=url)
            await asyncio.sleep(settle_s)
            shot = await _call(
                socket, 3, "Page.captureScreenshot", format="png", captureBeyondViewport=True
            )
    return base64.b64decode(shot["data"])


async def _call(
    socket: aiohttp.ClientWebSocketResponse, number: int, method: str, **parameters: object
) -> Any:  # Any: each method's own answer
    await socket.send_json({"id": number, "method": method, "params": parameters})
    async with asyncio.timeout(30):
        while True:
            message = await socket.receive_json()
            if message.get("id") == number:
                return message["result"]
