"""TLS of the TCP doors: contexts from PEM files, proven by a handshake before a door uses them."""

import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgewright_runtime.errors import DoorUnavailable, one_line

HANDSHAKE_S = 10.0
"""A client that has not finished its handshake by then is cut off."""
_DAY_S = 86400.0
_SOON_DAYS = 14
_ROUNDS = 10
"""A handshake in memory takes two or three."""


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PEM files. They are read at the start, and again at SIGHUP."""

    certificate: str
    """The server's certificate, and those between it and the clients' root below it."""
    key: str
    """Its private key, without a password: nobody is there to type one."""
    client_ca: str | None = None
    """Roots of client certificates; with it a client without one is turned away."""


def server_context(files: Tls, protocols: Sequence[str]) -> ssl.SSLContext:
    """A context that speaks these ALPN protocols. Raises DoorUnavailable."""
    certificate = _pem(files.certificate, "--tls-cert", b"-----BEGIN CERTIFICATE-----")
    key = _pem(files.key, "--tls-key", b"PRIVATE KEY-----")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))

    def refuse_password() -> str:
        raise DoorUnavailable(
            f"--tls-key {key} is locked with a password; write it without one, mode 0600: "
            "openssl pkey -in KEY -out NEW"
        )

    try:
        context.load_cert_chain(certificate, key, password=refuse_password)
    except ssl.SSLError as error:
        raise DoorUnavailable(_unusable(certificate, key, error)) from error
    if files.client_ca is not None:
        roots = _pem(files.client_ca, "--tls-client-ca", b"-----BEGIN CERTIFICATE-----")
        try:
            context.load_verify_locations(roots)
        except ssl.SSLError as error:
            raise DoorUnavailable(
                f"--tls-client-ca {roots} holds no certificates that can be read: {one_line(error)}"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def certificate_problem(files: Tls) -> str | None:
    """What is wrong with the certificate today, for a warning: clocks of devices may be wrong.

    Found by shaking hands with it in memory. Raises DoorUnavailable when that fails.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # What we were given is all that this client trusts: only dates are left to fail.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        server.load_cert_chain(files.certificate, files.key)
        client.load_verify_locations(files.certificate)
        found = _shake_hands(server, client)
    except ssl.SSLCertVerificationError as error:
        return f"the certificate {files.certificate} is not valid now: {error.verify_message}"
    except (ssl.SSLError, OSError) as error:
        raise DoorUnavailable(
            f"--tls-cert {files.certificate}: no connection can be made with it: {one_line(error)}"
        ) from error
    ends_s = ssl.cert_time_to_seconds(str(found["notAfter"]))
    left_days = (ends_s - time.time()) / _DAY_S
    if left_days < _SOON_DAYS:
        return f"the certificate {files.certificate} ends in {left_days:.1f} days; renew it"
    return None


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """The server's certificate as the client sees it."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(up, down, server_side=True)
    theirs = client.wrap_bio(down, up)
    for _ in range(_ROUNDS):
        waits = False
        for end in (theirs, ours):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                waits = True
        if not waits:
            break
    found = theirs.getpeercert()
    if not found:
        raise ssl.SSLError("the handshake does not come to its end")
    return dict(found)


def _pem(path: str, option: str, mark: bytes) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DoorUnavailable(f"{option} {path} cannot be read: {error.strerror}") from error
    if mark not in content:
        kind = "private key" if b"KEY" in mark else "certificate"
        raise DoorUnavailable(f"{option} {path} holds no {kind} in PEM form")
    return path


def _unusable(certificate: str, key: str, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"--tls-key {key} is not the key of --tls-cert {certificate}"
    return f"--tls-cert {certificate} with --tls-key {key} is damaged: {one_line(error)}"
