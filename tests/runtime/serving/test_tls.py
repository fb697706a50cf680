"""TLS and tokens at the network doors, by unmodified clients and by bad files."""

import datetime
import http.client
import json
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from edgewright_manifests.cli import main
from edgewright_runtime.control import Loaded, Status

from tests.runtime import models
from tests.runtime.serving.running import DEADLINE_S, Running, serving_files
from tests.simulators.authority import Authority
from tests.simulators.waiting import wait_until

triton_http = pytest.importorskip("tritonclient.http")
triton_grpc = pytest.importorskip("tritonclient.grpc")

TOKEN = "0123456789abcdef-first"
OTHER = "0123456789abcdef-second"
X = np.arange(4, dtype=np.float32).reshape(1, 4)


@dataclass(frozen=True)
class Secure:
    """A server with TLS and a token file, whose files a test may replace."""

    running: Running
    grpc: str
    authority: Authority
    files: Path

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.folder / "ca.crt")

    @contextmanager
    def connect(self) -> Iterator[http.client.HTTPSConnection]:
        made = http.client.HTTPSConnection(*self.running.address, context=self.context())
        with closing(made):
            made.connect()
            yield made

    def ask(self, token: str | None = TOKEN) -> int:
        """The status of a request by a new client."""
        with self.connect() as connection:
            return get(connection, token)[0]

    def serial(self) -> int:
        """Of the certificate that a new client is shown."""
        with self.connect() as connection:
            assert isinstance(connection.sock, ssl.SSLSocket)
            der = connection.sock.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der).serial_number


def get(connection: http.client.HTTPSConnection, token: str | None = TOKEN) -> tuple[int, Any]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    connection.request("GET", "/v2/models/m", headers=headers)
    with closing(connection.getresponse()) as reply:
        return reply.status, json.loads(reply.read())  # Any: JSON


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Secure]:
    tmp_path = tmp_path_factory.mktemp("secure")
    files = tmp_path / "files"
    files.mkdir()
    put_certificate(authority, "one", files)
    write_tokens(files, TOKEN)
    options = ["--tls-cert", "server.crt", "--tls-key", "server.key", "--token-file", "tokens"]
    options = [str(files / word) if "." in word or word == "tokens" else word for word in options]
    model = models.linear_onnx(tmp_path / "m.onnx")
    with serving_files(tmp_path, {"m": model}, *options, "--grpc", "127.0.0.1:0") as running:
        found = running.control.ask_blocking(Status())
        assert isinstance(found, Loaded) and found.grpc is not None
        yield Secure(running, found.grpc, authority, files)


def put_certificate(authority: Authority, name: str, folder: Path) -> None:
    certificate, key = authority.issue_server(name)
    shutil.copy(certificate, folder / "server.crt")
    shutil.copy(key, folder / "server.key")


def write_tokens(folder: Path, *tokens: str) -> None:
    path = folder / "tokens"
    path.touch(mode=0o600)
    path.write_text("\n".join(("# of the test", *tokens)))


def tensor(module: Any) -> list[Any]:  # Any: tritonclient ships no types
    made = module.InferInput("x", [1, 4], "FP32")
    made.set_data_from_numpy(X)
    return [made]


def expected() -> Any:  # an array FP32 [1, 3]
    w, b = models.weights()
    return (X @ w + b).astype(np.float32)


def test_unmodified_tritonclient_over_tls_with_a_token_gets_answers(secure: Secure) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    ca = secure.authority.folder / "ca.crt"
    with triton_http.InferenceServerClient(
        secure.running.http, ssl=True, ssl_context_factory=secure.context
    ) as client:
        found = client.infer("m", tensor(triton_http), headers=dict(headers))  # it adds some
        np.testing.assert_allclose(found.as_numpy("y"), expected(), rtol=1e-5)
    with triton_grpc.InferenceServerClient(
        secure.grpc, ssl=True, root_certificates=str(ca)
    ) as client:
        found = client.infer("m", tensor(triton_grpc), headers=headers)
        np.testing.assert_allclose(found.as_numpy("y"), expected(), rtol=1e-5)
        large = np.zeros((60_000, 4), np.float32)
        many = triton_grpc.InferInput("x", list(large.shape), "FP32")
        many.set_data_from_numpy(large)
        assert client.infer("m", [many], headers=headers).as_numpy("y").shape == (60_000, 3)


@pytest.mark.parametrize("token", [None, "", OTHER, TOKEN[:-1], TOKEN + "x"])
def test_a_caller_without_the_token_is_told_so_at_both_doors(
    secure: Secure, token: str | None
) -> None:
    with secure.connect() as connection:
        status, said = get(connection, token)
    assert status == 401
    assert "Authorization: Bearer" in said["error"]
    ca = str(secure.authority.folder / "ca.crt")
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    with (
        triton_grpc.InferenceServerClient(secure.grpc, ssl=True, root_certificates=ca) as client,
        pytest.raises(triton_grpc.InferenceServerException) as caught,
    ):
        client.infer("m", tensor(triton_grpc), headers=headers)
    assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
    assert secure.ask() == 200, "others are answered"


def test_the_models_command_asks_such_a_server_too(
    secure: Secure, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["runtime", "models", "--http", secure.running.http]
    words += ["--tls-ca", str(secure.authority.folder / "ca.crt")]
    assert main([*words, "--token-file", str(secure.files / "tokens")]) == 0
    assert capsys.readouterr().out.startswith("m 1")
    assert main(words) == 1
    assert "asks for a token; give --token-file" in capsys.readouterr().err
    assert main(words[:4]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_an_unknown_caller_s_body_is_not_waited_for(secure: Secure) -> None:
    with secure.connect() as connection:
        connection.putrequest("POST", "/v2/models/m/infer")
        connection.putheader("Content-Length", str(60 << 20))
        connection.endheaders()
        with closing(connection.getresponse()) as reply:
            assert reply.status == 401


def test_a_client_that_speaks_no_tls_or_says_nothing_hinders_nobody(secure: Secure) -> None:
    with secure.running.connect() as silent, secure.running.connect() as plain:
        plain.sendall(b"GET /v2 HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in plain.recv(100)
        assert secure.ask() == 200
        silent.sendall(b"\x16\x03\x01")
        assert secure.ask() == 200


def test_new_files_count_after_sighup_and_nobody_is_cut_off(secure: Secure) -> None:
    with secure.connect() as old:
        before = secure.serial()
        assert get(old)[0] == 200
        put_certificate(secure.authority, "two", secure.files)
        write_tokens(secure.files, TOKEN, OTHER)
        secure.running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: secure.serial() != before, DEADLINE_S, "the new certificate")
        assert get(old)[0] == 200, "the connection that was open goes on"
        assert get(old, OTHER)[0] == 200
        # Damaged files change nothing, and good ones beside them do not count either.
        shown = secure.serial()
        (secure.files / "server.crt").write_text("damaged")
        write_tokens(secure.files, OTHER)
        secure.running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: secure.ask(TOKEN) == 401, DEADLINE_S, "the new tokens")
        assert secure.serial() == shown
        assert secure.ask(OTHER) == 200
        put_certificate(secure.authority, "three", secure.files)
        write_tokens(secure.files, "short")
        secure.running.process.send_signal(signal.SIGHUP)
        write_tokens(secure.files, TOKEN)
        secure.running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: secure.ask(TOKEN) == 200, DEADLINE_S, "the first token again")
        assert secure.serial() != shown


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_the_grpc_door_speaks_h2_over_tls_1_2_and_nothing_older(secure: Secure) -> None:
    context = secure.context()
    context.set_alpn_protocols(["h2"])
    host, port = secure.grpc.split(":")
    address = host, int(port)
    with (
        socket.create_connection(address) as raw,
        context.wrap_socket(raw, server_hostname=host) as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"
        assert connection.version() in ("TLSv1.2", "TLSv1.3")
    old = secure.context()
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(address) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(raw, server_hostname=host)


def test_with_client_roots_only_their_clients_get_in(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.issue_server("server")
    client_certificate, client_key = authority.issue_server("client")
    stranger = Authority(tmp_path / "strangers").issue_server("client")
    options = ["--tls-cert", certificate, "--tls-key", key, "--tls-client-ca"]
    words = [str(word) for word in (*options, authority.folder / "ca.crt")]
    model = models.linear_onnx(tmp_path / "m.onnx")
    with serving_files(tmp_path, {"m": model}, *words) as running:
        ca = authority.folder / "ca.crt"

        def ask(pair: tuple[Path, Path] | None) -> int:
            context = ssl.create_default_context(cafile=ca)
            if pair is not None:
                context.load_cert_chain(*pair)
            return status_of(running, context)

        assert ask((client_certificate, client_key)) == 200
        for pair in (None, stranger):
            with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
                ask(pair)
        assert ask((client_certificate, client_key)) == 200


def status_of(running: Running, context: ssl.SSLContext) -> int:
    with closing(http.client.HTTPSConnection(*running.address, context=context)) as connection:
        connection.request("GET", "/v2")
        with closing(connection.getresponse()) as reply:
            return reply.status


def locked(key: Path) -> bytes:
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    encryption = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    return loaded.private_bytes(serialization.Encoding.PEM, form, encryption)


def test_bad_files_are_refused_at_the_start_in_one_clear_line(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, key = authority.issue_server("server")
    other_key = authority.issue_server("other")[1]
    garbage, short = tmp_path / "garbage.pem", tmp_path / "short"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    short.write_text("secret")
    locked_key = tmp_path / "locked.key"
    locked_key.write_bytes(locked(key))
    model = models.linear_onnx(tmp_path / "m.onnx")
    tls = ("--tls-cert", certificate, "--tls-key")
    cases: list[tuple[tuple[object, ...], str, int]] = [
        (("--tls-cert", certificate), "both --tls-cert and --tls-key", 2),
        ((*tls, tmp_path / "none"), "cannot be read: No such file", 1),
        ((*tls, certificate), "holds no private key in PEM form", 1),
        ((*tls, other_key), "is not the key of", 1),
        ((*tls, locked_key), "is locked with a password", 1),
        (("--tls-cert", key, "--tls-key", key), "holds no certificate in PEM form", 1),
        (("--tls-cert", garbage, "--tls-key", key), "is damaged", 1),
        ((*tls, key, "--tls-client-ca", garbage), "holds no certificates that can be read", 1),
        (("--token-file", tmp_path / "none"), "cannot be read: No such file", 1),
        (("--token-file", short), "16 or more ASCII characters", 1),
        (("--token-file", "/dev/null"), "holds no token", 1),
    ]
    for options, expected_text, code in cases:
        words = ["runtime", "serve", "--http", "127.0.0.1:0", "--model", str(model)]
        assert main([*words, *map(str, options)]) == code, options
        said = capsys.readouterr().err
        assert expected_text in said
        assert said.count("\n") == 1, said
        assert "secret" not in said


def test_a_certificate_that_is_not_valid_now_is_said_and_served(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - 9 * day)
        .not_valid_after(now - day)
        .sign(key, hashes.SHA256())
    )
    certificate, key_file = tmp_path / "old.crt", tmp_path / "old.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    options = ["--tls-cert", str(certificate), "--tls-key", str(key_file)]
    with serving_files(
        tmp_path, {"m": models.linear_onnx(tmp_path / "m.onnx")}, *options
    ) as running:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        assert status_of(running, context) == 200
        assert running.process.stderr is not None
        assert "is not valid now: certificate has expired" in running.process.stderr.readline()
