"""Opening the two HTTPS listeners."""

import ssl
from pathlib import Path

from aiohttp import web

from edgewright_fleet.errors import StartError

_SHUTDOWN_S = 2.0
"""Long enough to finish a range; a device resumes what was cut."""


def operator_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with the server's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def device_tls(certificate: Path, key: Path, ca: Path) -> ssl.SSLContext:
    """The same, and nobody gets in without a certificate of our CA."""
    context = operator_tls(certificate, key)
    context.load_verify_locations(cafile=str(ca))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def open_listener(
    application: web.Application, host: str, port: int, tls: ssl.SSLContext
) -> web.AppRunner:
    """Serve until the runner's `cleanup`. Raises StartError when the port is taken."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return runner
