"""The fleet's own certificate authority: P-256, one level, certificates for devices and doors."""

import datetime
import ipaddress
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from edgewright_manifests.digest import Digest, digest_of
from edgewright_manifests.documents import write_atomically

from edgewright_fleet.errors import StartError, UnprocessableError

LINK_NAME = "_fleet-server"
"""Common name of the server's own MQTT certificate. No device can have it: names of
devices start with a letter or digit (edgewright_manifests.topics)."""

_CA_DAYS = 20 * 365
_DEVICE_DAYS = 10 * 365
"""A device that slept for years must come back; a stolen one is revoked, not outwaited."""
_SERVER_DAYS = 825
"""What browsers accept at most; renewed at a start in the last 60 days."""
_RENEW_DAYS = 60
_CRL_DAYS = 3650
"""An outdated revocation list would lock every device out, and each start writes a new one."""
_BACKDATED = datetime.timedelta(days=1)
"""Boards without a battery clock wake up behind."""


class IssuedCertificate(NamedTuple):
    """A device's certificate as the store keeps it."""

    pem: str
    fingerprint: Digest
    """Digest of the DER form; what the device listener compares."""
    serial: str
    """The serial number in hex; what the revocation list names."""


class CertificateAuthority:
    """Holds the CA key (`ca.key`, mode 0600) in a folder and issues from it."""

    def __init__(
        self, folder: Path, key: ec.EllipticCurvePrivateKey, cert: x509.Certificate
    ) -> None:
        self._key = key
        self._certificate = cert
        self.folder = folder
        self.certificate_file = folder / "ca.crt"
        self.server_files = (folder / "server.crt", folder / "server.key")
        self.link_files = (folder / "link.crt", folder / "link.key")
        self.crl_file = folder / "crl.pem"

    @classmethod
    def open(cls, folder: Path) -> "CertificateAuthority":
        """The authority in `folder`, made there when there is none.

        Raises StartError when the files there cannot be read.
        """
        key_file, certificate_file = folder / "ca.key", folder / "ca.crt"
        if not key_file.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = ec.generate_private_key(ec.SECP256R1())
            write_atomically(certificate_file, _pem(_self_signed(key)))
            write_atomically(key_file, _key_pem(key), mode=0o600)
        try:
            loaded = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        except (OSError, ValueError) as error:
            raise StartError(
                f"{folder}: the certificate authority cannot be read: {error}; "
                "restore ca.key and ca.crt from a backup"
            ) from error
        if (
            not isinstance(loaded, ec.EllipticCurvePrivateKey)
            or loaded.public_key() != certificate.public_key()
        ):
            raise StartError(f"{folder}: ca.key does not belong to ca.crt; restore both together")
        return cls(folder, loaded, certificate)

    @property
    def certificate_pem(self) -> str:
        """The CA's certificate, PEM."""
        return _pem(self._certificate).decode()

    @property
    def fingerprint(self) -> Digest:
        """Digest of the CA certificate's DER form; enrolment tokens carry it."""
        return digest_of(self._certificate.public_bytes(serialization.Encoding.DER))

    def issue_device(self, csr_pem: str, device: str) -> IssuedCertificate:
        """A client certificate with common name `device`, whatever name the request asks for.

        Raises UnprocessableError for a request that is none, is not signed by its own key, or whose
        key is not on P-256.
        """
        try:
            request = x509.load_pem_x509_csr(csr_pem.encode())
            key = request.public_key()
            signed = request.is_signature_valid
        except (ValueError, TypeError, InvalidSignature) as error:
            raise UnprocessableError(f"csr: is no certificate signing request: {error}") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
            raise UnprocessableError("csr: the key is not on curve P-256; make a new key")
        if not signed:
            raise UnprocessableError("csr: is not signed by its own key; make it again")
        certificate = self._issue(key, device, _DEVICE_DAYS, ExtendedKeyUsageOID.CLIENT_AUTH)
        return IssuedCertificate(
            _pem(certificate).decode(),
            digest_of(certificate.public_bytes(serialization.Encoding.DER)),
            f"{certificate.serial_number:x}",
        )

    def prepare(self, names: Iterable[str]) -> None:
        """Make, or renew, the certificates of the server's own doors and link.

        `names` are added to 127.0.0.1, localhost and this machine's name.
        """
        wanted = sorted({"127.0.0.1", "localhost", socket.gethostname(), *names})
        if not _still_good(self.server_files, wanted, self._certificate):
            self._issue_to_files(self.server_files, wanted[0], wanted)
        if not _still_good(self.link_files, [], self._certificate):
            self._issue_to_files(self.link_files, LINK_NAME, [])

    def write_crl(self, revoked: Iterable[tuple[str, datetime.datetime]]) -> None:
        """Replace `crl.pem`; `revoked` gives serial numbers in hex and times."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - _BACKDATED)
            .next_update(now + datetime.timedelta(days=_CRL_DAYS))
        )
        for serial, time in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(serial, 16))
                .revocation_date(time)
                .build()
            )
        crl = builder.sign(self._key, hashes.SHA256())
        write_atomically(self.crl_file, crl.public_bytes(serialization.Encoding.PEM))

    def _issue_to_files(self, files: tuple[Path, Path], name: str, names: list[str]) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = self._issue(key.public_key(), name, _SERVER_DAYS, usage, names)
        write_atomically(files[1], _key_pem(key), mode=0o600)
        write_atomically(files[0], _pem(certificate))

    def _issue(
        self,
        key: ec.EllipticCurvePublicKey,
        name: str,
        days: int,
        usage: x509.ObjectIdentifier,
        names: Iterable[str] = (),
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        alternatives = [_general_name(n) for n in names]
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        return builder.sign(self._key, hashes.SHA256())


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    name = _name(f"edgewright fleet CA {os.urandom(4).hex()}")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _still_good(files: tuple[Path, Path], names: list[str], issuer: x509.Certificate) -> bool:
    if not (files[0].exists() and files[1].exists()):
        return False
    certificate = x509.load_pem_x509_certificate(files[0].read_bytes())
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=_RENEW_DAYS)
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return certificate.not_valid_after_utc > soon and _names_of(certificate) == names


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return sorted(str(name.value) for name in found)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
