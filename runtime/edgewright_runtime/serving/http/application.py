"""Paths to answers: the Open Inference Protocol, and what tritonclient calls beside it."""

import functools
import zlib
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from edgewright_runtime.errors import InferenceFailed, InvalidInput, ModelUnknown, RuntimeFault
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration
from edgewright_runtime.serving.http import describe
from edgewright_runtime.serving.http.infer import InferRequest, parse_infer, write_infer
from edgewright_runtime.serving.http.messages import (
    Answer,
    HttpRefused,
    Reply,
    Request,
    error_reply,
    json_reply,
)
from edgewright_runtime.serving.http.metrics import CONTENT_TYPE, metrics_text
from edgewright_runtime.serving.repository import Repository, ServedModel

_T = TypeVar("_T")
Route = Callable[[Request, Answer], None]
_ROUTES_KEPT = 256
_WINDOW_BITS = 47  # zlib.h: 32 + 15: gzip or zlib, told by the header


class OpenInference:
    """Answers requests from a repository."""

    def __init__(self, repository: Repository, *, timeout_s: float, body_bytes: int) -> None:
        self._repository = repository
        self._timeout_s = timeout_s
        self._body_bytes = body_bytes
        self._routes: dict[tuple[bytes, bytes], Route] = {}

    def __call__(self, request: Request, answer: Answer) -> None:
        """See `Application`."""
        try:
            route = self._routes.get((request.method, request.target))
            if route is None:
                route = self._find(request)
            route(request, answer)
        except RuntimeFault as error:
            answer(error_reply(error))

    def _find(self, request: Request) -> Route:
        route = self._resolve(request.method, _segments(request.target))
        if len(self._routes) < _ROUTES_KEPT:
            self._routes[request.method, request.target] = route
        return route

    def _resolve(self, method: bytes, path: list[str]) -> Route:
        match path:
            case ["v2"]:
                return _get(method, lambda: json_reply(describe.server_metadata()))
            case ["v2", "health", "live"]:
                return _get(method, lambda: json_reply({"live": True}))
            case ["v2", "health", "ready"]:
                return _get(method, self._ready)
            case ["metrics"]:
                return _get(method, lambda: Reply(200, CONTENT_TYPE, (self._metrics(),)))
            case ["v2", "repository", "index"]:
                return _post(method, self._index)
            case ["v2", "repository", "models", _, "load" | "unload"]:
                raise HttpRefused(
                    400,
                    "models are not loaded or unloaded over HTTP; start the server with --model, "
                    "or roll a release out to this device",
                )
            case ["v2", "models", model, "versions", version, *rest]:
                return self._resolve_model(method, model, version, rest)
            case ["v2", "models", model, *rest]:
                return self._resolve_model(method, model, None, rest)
            case _:
                raise _unknown_path(path)

    def _resolve_model(
        self, method: bytes, model: str, version: str | None, rest: list[str]
    ) -> Route:
        match rest:
            case []:
                return _get(
                    method, lambda: self._described(describe.model_metadata, model, version)
                )
            case ["config"]:
                return _get(method, lambda: self._described(describe.model_config, model, version))
            case ["ready"]:
                return _get(method, lambda: self._model_ready(model, version))
            case ["infer"]:
                _only(method, b"POST")
                return functools.partial(self._infer, model, version)
            case _:
                raise _unknown_path(["v2", "models", model, *rest])

    def _ready(self) -> Reply:
        waiting = [m.name for m in self._repository.models.values() if m.active is None]
        return json_reply({"ready": not waiting}, status=503 if waiting else 200)

    def _model_ready(self, model: str, version: str | None) -> Reply:
        self._serving(model, version)
        return json_reply({"name": model, "ready": True})

    def _described(
        self,
        describe_it: Callable[[str, LoadedGeneration], object],
        model: str,
        version: str | None,
    ) -> Reply:
        return json_reply(describe_it(model, self._serving(model, version)[1]))

    def _index(self) -> Reply:
        return json_reply(describe.repository_index(self._repository))

    def _metrics(self) -> bytes:
        return metrics_text(self._repository)

    def _serving(self, name: str, version: str | None) -> tuple[ServedModel, LoadedGeneration]:
        model = self._repository.model(name)
        active = model.serving()
        if version is not None and version != active.artifact.version:
            raise ModelUnknown(
                f"model '{name}' has no version '{version}'; it serves '{active.artifact.version}'"
            )
        return model, active

    def _infer(self, name: str, version: str | None, request: Request, answer: Answer) -> None:
        model, active = self._serving(name, version)
        try:
            wanted = parse_infer(
                self._plain(request),
                request.headers.get(b"inference-header-content-length"),
                active.signature,
            )
        except InvalidInput:
            model.invalid += 1
            raise

        def done(attempt: Attempt) -> None:
            answer(_answered(name, wanted, attempt))

        model.infer(wanted.inputs, deadline_s=wanted.timeout_s or self._timeout_s, done=done)

    def _plain(self, request: Request) -> bytes:
        encoding = request.headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding in (b"identity", b""):
            return request.body
        if encoding not in (b"gzip", b"deflate"):
            raise HttpRefused(415, "Content-Encoding may be gzip, deflate or identity")
        try:
            decoder = zlib.decompressobj(_WINDOW_BITS)
            plain = decoder.decompress(request.body, self._body_bytes + 1)
        except zlib.error as error:
            raise HttpRefused(400, f"the body is no valid {encoding.decode()}: {error}") from error
        if len(plain) > self._body_bytes:
            raise HttpRefused(413, f"the body has more than {self._body_bytes} bytes unpacked")
        if not decoder.eof:
            raise HttpRefused(400, f"the body's {encoding.decode()} data is cut off")
        return plain


def _answered(name: str, wanted: InferRequest, attempt: Attempt) -> Reply:
    if attempt.outputs is None:
        return error_reply(attempt.error or InferenceFailed("the engine gave no answer"))
    version = attempt.answered_by.artifact.version
    try:
        return write_infer(wanted, attempt.outputs, model=name, version=version)
    except InvalidInput as error:
        return error_reply(error)


def _segments(target: bytes) -> list[str]:
    path = target.split(b"?", 1)[0]
    if not path.startswith(b"/"):
        raise HttpRefused(400, "the request's target must be a path")
    try:
        return [unquote_to_bytes(part).decode("utf-8") for part in path[1:].split(b"/")]
    except UnicodeDecodeError as error:
        raise HttpRefused(400, "the path is no UTF-8") from error


def _only(method: bytes, allowed: bytes) -> None:
    if method != allowed:
        raise HttpRefused(
            405,
            f"this path takes {allowed.decode()}",
            headers=b"Allow: %s\r\n" % allowed,
        )


def _get(method: bytes, make: Callable[[], Reply]) -> Route:
    _only(method, b"GET")
    return lambda _, answer: answer(make())


def _post(method: bytes, make: Callable[[], Reply]) -> Route:
    _only(method, b"POST")
    return lambda _, answer: answer(make())


def _unknown_path(path: list[str]) -> HttpRefused:
    shown = "/".join(path)
    return HttpRefused(404, f"no such path: /{shown[:200]}")
