"""`edgewright runtime serve`: the server alone for some models, or an enrolled device."""

import argparse
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import uvloop
from edgewright_manifests.errors import UsageError
from edgewright_manifests.variant import TARGETS

from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.engine.providers import NAMES, as_wanted, likely_providers
from edgewright_runtime.errors import RuntimeFault
from edgewright_runtime.logs import FORMATS, LEVELS, configure
from edgewright_runtime.model_settings import placed, read_model_settings
from edgewright_runtime.model_source import open_source
from edgewright_runtime.server import ServerConfig, Serving, serve
from edgewright_runtime.serving.security import exposure
from edgewright_runtime.serving.tcp_door import is_loopback
from edgewright_runtime.serving.tls import Tls

DEFAULT_HTTP = "127.0.0.1:8000"
DEFAULT_CONNECTIONS = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]PATH",
        help="a bundle, an unpacked variant, or a bare .onnx, .tflite or .xml; may be repeated",
    )
    parser.add_argument("--http", metavar="HOST:PORT", help=f"default {DEFAULT_HTTP}")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="answer gRPC there too")
    parser.add_argument("--target", choices=TARGETS, help="the variant of a bundle to serve")
    parser.add_argument("--threads", type=_threads, help="threads per inference (default 1)")
    parser.add_argument(
        "--provider",
        action="append",
        default=[],
        metavar="P[,P...]",
        help="run models there, the first preferred: tensorrt, cuda, openvino, xnnpack, qnn, "
        "coreml, npu, gpu, cpu; or auto (default cpu)",
    )
    parser.add_argument(
        "--provider-cache", type=Path, metavar="DIR", help="keep what providers compile there"
    )
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="open the local door there (docs/runtime.md)"
    )
    parser.add_argument(
        "--model-settings",
        type=Path,
        metavar="F.toml",
        help="queue, batching, workers, priorities and sequences of each model (docs/runtime.md)",
    )
    parser.add_argument(
        "--model-control",
        choices=("none", "explicit"),
        default="none",
        help="explicit: clients may unload and load again what --model names",
    )
    parser.add_argument(
        "--model-files",
        choices=("refuse", "accept"),
        default="refuse",
        help="accept: a client that loads a model may send its file, which runs in this process",
    )
    parser.add_argument(
        "--shared-memory",
        choices=("local", "on", "off"),
        default="local",
        help="whether clients may name POSIX shared memory (default: on a loopback address only)",
    )
    parser.add_argument(
        "--tls-cert", type=Path, metavar="F.pem", help="certificate chain of both network doors"
    )
    parser.add_argument("--tls-key", type=Path, metavar="F.pem", help="its private key")
    parser.add_argument(
        "--tls-client-ca",
        type=Path,
        metavar="F.pem",
        help="turn away clients without a certificate from one of these roots",
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="F",
        help="tokens, one per line: callers must send one as 'Authorization: Bearer TOKEN'",
    )
    parser.add_argument(
        "--connections",
        type=_count,
        metavar="N",
        help=f"of each network door; further ones are told so (default {DEFAULT_CONNECTIONS})",
    )
    parser.add_argument(
        "--memory-budget",
        type=_bytes,
        metavar="SIZE",
        help="for all models, e.g. 512MB: beyond it the least recently used are unloaded, and "
        "loaded again when they are asked for",
    )
    parser.add_argument(
        "--traces", metavar="URL", help="send OpenTelemetry traces to this collector (OTLP, HTTP)"
    )
    parser.add_argument(
        "--trace-rate",
        type=_count,
        default=100,
        metavar="N",
        help="trace one of N requests, and those whose callers trace them (default 100)",
    )
    parser.add_argument("--log-format", choices=FORMATS, help="of the log on stderr; default text")
    parser.add_argument("--log-level", choices=LEVELS, default="warning", help="default warning")
    parser.add_argument("--control", type=Path, metavar="SOCKET", help="open a control socket too")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="state folder of an enrolled device"
    )
    parser.add_argument("--config", type=Path, metavar="F.toml", help="configuration of a device")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    if arguments.state is not None or arguments.config is not None:
        return _run_device(arguments)
    if not arguments.model:
        raise UsageError(
            "nothing to serve; give --model PATH, or --state DIR of an enrolled device"
        )
    configure(arguments.log_level, arguments.log_format or "text")
    settings = read_model_settings(arguments.model_settings) if arguments.model_settings else {}
    address = arguments.http or DEFAULT_HTTP
    tls, token_file = _tls(arguments), _word(arguments.token_file)
    for each in filter(None, (address, arguments.grpc)):
        warn_if_open(each, tls, token_file)
    with ExitStack() as unpacked:
        models: dict[str, Artifact] = {}
        for word in arguments.model:
            name, path = _named(word)
            source = unpacked.enter_context(open_source(path, target=arguments.target))
            if (name or source.name) in models:
                raise UsageError(f"two models are called {name or source.name}; use NAME=PATH")
            models[name or source.name] = source.candidates[0].artifact
        strange = settings.keys() - models.keys() - {"*"}
        if strange:
            raise UsageError(
                f"{arguments.model_settings} has settings for {sorted(strange)[0]!r}, which "
                f"--model does not name; named: {', '.join(models)}"
            )
        config = ServerConfig(
            http=address,
            grpc=arguments.grpc,
            socket=str(arguments.socket) if arguments.socket else None,
            control=str(arguments.control) if arguments.control else None,
            threads=arguments.threads or 1,
            models=placed(
                settings, _providers(arguments.provider), _word(arguments.provider_cache)
            ),
            model_control=arguments.model_control,
            model_files=arguments.model_files,
            shared_memory=arguments.shared_memory,
            memory_budget=arguments.memory_budget,
            connections=arguments.connections or DEFAULT_CONNECTIONS,
            tls=tls,
            token_file=token_file,
            traces=arguments.traces,
            trace_rate=arguments.trace_rate,
        )
        from edgewright_runtime.config import service_manager

        uvloop.run(serve(config, models, ready=_announce, manager=service_manager()))
    return 0


def _providers(words: Sequence[str]) -> tuple[str, ...]:
    names = as_wanted(words)
    if names == ("auto",):
        from edgewright_runtime.model_source import this_machine

        return likely_providers(this_machine())
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise UsageError(f"--provider {unknown[0]}: use some of {', '.join(sorted(NAMES))}")
    return names


def warn_if_open(address: str, tls: Tls | None, token_file: str | None) -> None:
    """Say loudly that nobody is kept out. Raises DoorUnavailable for what is no address."""
    problem = None if is_loopback(address) else exposure(address, tls, token_file)
    if problem is not None:
        print(f"WARNING: {problem}", file=sys.stderr)


def _run_device(arguments: argparse.Namespace) -> int:
    if arguments.model or arguments.target or arguments.control or arguments.socket:
        raise UsageError(
            "an enrolled device serves what the fleet assigns, and has its sockets in its state "
            "folder: --model, --target, --control and --socket do not go with --state or --config"
        )
    for option, found in (
        ("--provider", arguments.provider),
        ("--provider-cache", arguments.provider_cache),
        ("--traces", arguments.traces),
        ("--log-format", arguments.log_format),
    ):
        if found:
            raise UsageError(f"{option} of a device is said in its configuration: --config F.toml")
    from edgewright_runtime.config import load_config
    from edgewright_runtime.link.identity import is_enrolled
    from edgewright_runtime.supervisor import run as supervise

    config = load_config(
        arguments.config,
        state_dir=str(arguments.state) if arguments.state else None,
        http=arguments.http,
        grpc=arguments.grpc,
        threads=arguments.threads,
        tls=_tls(arguments),
        token_file=_word(arguments.token_file),
        connections=arguments.connections,
    )
    if not is_enrolled(config.state):
        raise RuntimeFault(
            f"{config.state}: this device is in no fleet yet; run `edgewright runtime enroll`, "
            "or serve a bundle of your own with --model PATH"
        )
    tls = msgspec.convert(msgspec.to_builtins(config.tls), Tls | None)
    for each in filter(None, (config.http, config.grpc)):
        warn_if_open(each, tls, config.token_file)
    return supervise(config)


def _announce(serving: Serving) -> None:
    scheme = "https" if serving.has_tls else "http"
    for model in serving.repository.models.values():
        active = model.serving()
        print(
            f"serving {model.name} {active.artifact.version} ({active.artifact.variant} on "
            f"{active.session.placement}) at {scheme}://{serving.http}/v2/models/{model.name}",
            file=sys.stderr,
            flush=True,
        )
    if serving.socket is not None:
        print(f"local door at {serving.socket}", file=sys.stderr, flush=True)
    if serving.grpc is not None:
        print(f"and by gRPC at {serving.grpc}", file=sys.stderr, flush=True)


def _named(word: str) -> tuple[str | None, Path]:
    name, separator, path = word.partition("=")
    if separator and name and "/" not in name:
        if not path:
            raise UsageError(f"--model {word}: the path is missing")
        return name, Path(path)
    return None, Path(word)


def _tls(arguments: argparse.Namespace) -> Tls | None:
    certificate, key = arguments.tls_cert, arguments.tls_key
    if certificate is None and key is None and arguments.tls_client_ca is None:
        return None
    if certificate is None or key is None:
        raise UsageError("TLS needs both --tls-cert and --tls-key")
    client_ca = _word(arguments.tls_client_ca)
    return Tls(certificate=str(certificate), key=str(key), client_ca=client_ca)


def _word(path: Path | None) -> str | None:
    return str(path) if path is not None else None


def _count(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word[:8]) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{word!r} is no number from 1 to 1000000")
    return int(word)


def _threads(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word[:5]) <= 1024:
        raise argparse.ArgumentTypeError(f"{word!r} is no number of threads (1 to 1024)")
    return int(word)


def _bytes(word: str) -> int:
    found = re.fullmatch(r"([1-9]\d{0,8})(KB|MB|GB)", word.upper())
    if found is None:
        raise argparse.ArgumentTypeError(f"{word!r} is no size such as 512MB or 2GB")
    return int(found[1]) << {"KB": 10, "MB": 20, "GB": 30}[found[2]]
