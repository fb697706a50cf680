import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from edgewright_fleet.ca import CertificateAuthority
from edgewright_fleet.config import Listen
from edgewright_fleet.errors import StartError
from edgewright_fleet.ports import settle_ports

from tests.fleet.simulated_device import make_csr


def names(file: Path) -> set[str]:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return {str(name.value) for name in found}


def test_opening_again_gives_the_same_authority(tmp_path: Path) -> None:
    first, second = CertificateAuthority.open(tmp_path), CertificateAuthority.open(tmp_path)
    assert first.fingerprint == second.fingerprint


def test_a_key_of_another_authority_is_noticed(tmp_path: Path) -> None:
    CertificateAuthority.open(tmp_path / "a")
    CertificateAuthority.open(tmp_path / "b")
    (tmp_path / "a" / "ca.key").replace(tmp_path / "b" / "ca.key")
    with pytest.raises(StartError, match="does not belong to"):
        CertificateAuthority.open(tmp_path / "b")


def test_the_server_certificate_has_the_names_and_is_kept_until_they_change(
    tmp_path: Path,
) -> None:
    authority = CertificateAuthority.open(tmp_path)
    authority.prepare(["fleet.example.org", "192.0.2.7"])
    file, _ = authority.server_files
    assert {"127.0.0.1", "localhost", "fleet.example.org", "192.0.2.7"} <= names(file)
    first = file.read_bytes()
    authority.prepare(["192.0.2.7", "fleet.example.org"])
    assert file.read_bytes() == first
    authority.prepare(["other.example.org"])
    assert "fleet.example.org" not in names(file)
    context = ssl.create_default_context(cafile=str(authority.certificate_file))
    context.load_cert_chain(*authority.server_files)


def test_a_device_certificate_is_no_authority_and_no_server(tmp_path: Path) -> None:
    authority = CertificateAuthority.open(tmp_path)
    issued = authority.issue_device(make_csr(ec.generate_private_key(ec.SECP256R1())), "pi-1")
    certificate = x509.load_pem_x509_certificate(issued.pem.encode())
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert not basic.ca
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(
        x509.load_pem_x509_certificate(authority.certificate_pem.encode())
    )


def test_the_revocation_list_names_the_serial_numbers(tmp_path: Path) -> None:
    authority = CertificateAuthority.open(tmp_path)
    issued = authority.issue_device(make_csr(ec.generate_private_key(ec.SECP256R1())), "pi-1")
    now = datetime.datetime.now(datetime.UTC)
    authority.write_crl([(issued.serial, now)])
    crl = x509.load_pem_x509_crl(authority.crl_file.read_bytes())
    assert [f"{revoked.serial_number:x}" for revoked in crl] == [issued.serial]
    # One that is outdated would lock every device out.
    assert crl.next_update_utc is not None
    assert crl.next_update_utc > now + datetime.timedelta(days=365)


def test_ports_are_chosen_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = settle_ports(Listen(), file)
    assert len({first.operator, first.device, first.mqtt}) == 3
    assert settle_ports(Listen(), file) == first
    assert settle_ports(Listen(operator_port=8443), file).operator == 8443
