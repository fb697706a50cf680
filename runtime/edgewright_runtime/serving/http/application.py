"""Paths to answers: the Open Inference Protocol, and what tritonclient calls beside it."""

import asyncio
import dataclasses
import functools
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import unquote_to_bytes

from edgewright_manifests.signature import ModelSignature

from edgewright_runtime.engine.raw_tensor import RawTensor
from edgewright_runtime.errors import (
    InferenceFailed,
    InvalidInput,
    ModelLoading,
    ModelUnknown,
    RuntimeFault,
)
from edgewright_runtime.serving.generation import Attempt, LoadedGeneration
from edgewright_runtime.serving.http import coding
from edgewright_runtime.serving.http.control import ControlPaths
from edgewright_runtime.serving.http.generate import parse_generate, write_generate
from edgewright_runtime.serving.http.infer import (
    InferRequest,
    Surroundings,
    parse_infer,
    write_infer,
)
from edgewright_runtime.serving.http.known_heads import KnownHeads
from edgewright_runtime.serving.http.messages import (
    Answer,
    HttpRefused,
    Reply,
    Request,
    error_reply,
    json_reply,
)
from edgewright_runtime.serving.http.metrics import CONTENT_TYPE, metrics_text
from edgewright_runtime.serving.http.routes import Route, get, only
from edgewright_runtime.serving.inference import describe
from edgewright_runtime.serving.inference.extensions import Extensions
from edgewright_runtime.serving.inference.failures import Failures
from edgewright_runtime.serving.models.absent import within
from edgewright_runtime.serving.repository import Repository
from edgewright_runtime.serving.served_model import ServedModel

_ROUTES_KEPT = 256
_T = TypeVar("_T")
Parse = Callable[[bytes, bytes | None, ModelSignature], InferRequest]
"""Takes a body, the header Inference-Header-Content-Length, and what the model takes."""
Write = Callable[[InferRequest, Mapping[str, RawTensor], str, str], Reply]
"""Takes a request, the outputs, and the model's name and version."""


class OpenInference:
    """Answers requests from a repository."""

    def __init__(
        self,
        repository: Repository,
        extensions: Extensions,
        *,
        timeout_s: float,
        body_bytes: int,
    ) -> None:
        self._repository = repository
        # Partials, because a method of our own around each costs as much as all counting.
        surroundings = Surroundings(extensions.memory, KnownHeads())
        self._parse: Parse = functools.partial(parse_infer, surroundings)
        self._write: Write = functools.partial(write_infer, surroundings)
        self._timeout_s = timeout_s
        self._body_bytes = body_bytes
        self._tracing = extensions.tracing
        self._failures = Failures("http")
        self._control = ControlPaths(repository, extensions, self._plain)
        self._waiting: set[asyncio.Future[None]] = set()
        self._routes: dict[tuple[bytes, bytes], Route] = {}

    def __call__(self, request: Request, answer: Answer) -> None:
        """See `Application`."""
        try:
            route = self._routes.get((request.method, request.target))
            if route is None:
                route = self._find(request)
            route(request, answer)
        except ModelLoading as error:
            if error.wake is None or request.method != b"POST":
                answer(error_reply(error))
            else:
                self._answer_when_loaded(error.wake(), request, answer)
        except RuntimeFault as error:
            answer(error_reply(error))

    def _answer_when_loaded(
        self, waking: Awaitable[None], request: Request, answer: Answer
    ) -> None:
        """Of a model that was unloaded for want of memory: when it is back, or is not."""

        def finish(_: object) -> None:
            self._waiting.discard(waited)
            try:
                self._find(request)(request, answer)
            except RuntimeFault as error:
                answer(error_reply(error))

        waited = asyncio.ensure_future(within(waking, self._timeout_s))
        self._waiting.add(waited)
        waited.add_done_callback(finish)

    def _find(self, request: Request) -> Route:
        route = self._resolve(request.method, _segments(request.target))
        if len(self._routes) < _ROUTES_KEPT:
            self._routes[request.method, request.target] = route
        return route

    def _resolve(self, method: bytes, path: list[str]) -> Route:
        match path:
            case ["v2"]:
                return get(method, lambda: json_reply(describe.server_metadata()))
            case ["v2", "health", "live"]:
                return get(method, lambda: json_reply({"live": True}))
            case ["v2", "health", "ready"]:
                return get(method, self._ready)
            case ["metrics"]:
                return get(method, lambda: Reply(200, CONTENT_TYPE, (self._metrics(),)))
        found = self._control.resolve(method, path)
        if found is not None:
            return found
        match path:
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
                return get(method, lambda: self._described(describe.model_metadata, model, version))
            case ["config"]:
                return get(method, lambda: self._described(describe.whole_config, model, version))
            case ["ready"]:
                return get(method, lambda: self._model_ready(model, version))
            case ["infer"]:
                only(method, b"POST")
                return functools.partial(self._run, model, version, self._parse, self._write)
            case ["generate" | "generate_stream" as kind]:
                only(method, b"POST")
                write = functools.partial(write_generate, kind == "generate_stream")
                return functools.partial(self._run, model, version, parse_generate, write)
            case _:
                raise _unknown_path(["v2", "models", model, *rest])

    def _ready(self) -> Reply:
        waiting = self._repository.waiting()
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

    def _run(
        self,
        name: str,
        version: str | None,
        parse: Parse,
        write: Write,
        request: Request,
        answer: Answer,
        body: bytes | None = None,
    ) -> None:
        """Run a model on `body`, which is the request's own unless it came packed."""
        model, active = self._serving(name, version)
        if body is None:
            body = request.body
            if b"content-encoding" in request.headers:
                run = functools.partial(self._run, name, version, parse, write, request, answer)
                self._unpack(request, run, answer)
                return
        started = time.perf_counter()
        try:
            header = request.headers.get(b"inference-header-content-length")
            wanted = parse(body, header, active.signature)
        except InvalidInput:
            model.note_invalid()
            raise
        input_s = time.perf_counter() - started

        over = None
        if self._tracing is not None:
            parent = request.headers.get(b"traceparent")
            over = self._tracing.begin("http", name, wanted.id, parent, started, input_s)

        def done(attempt: Attempt) -> None:
            if over is not None:
                over(attempt)
            if attempt.outputs is None:
                self._failures.note(name, wanted.id, attempt.error)
                answer(error_reply(attempt.error or InferenceFailed("the engine gave no answer")))
                return
            written = time.perf_counter()
            try:
                version = attempt.answered_by.artifact.version
                reply = write(wanted, attempt.outputs, name, version)
            except RuntimeFault as error:
                answer(error_reply(error))
                return
            attempt.answered_by.figures.converted(input_s, time.perf_counter() - written)
            if b"accept-encoding" in request.headers:
                _pack(reply, request, answer)
            else:
                answer(reply)

        options = wanted.options
        if b"x-edgewright-key" in request.headers:
            key = request.headers[b"x-edgewright-key"].decode("latin-1")
            options = dataclasses.replace(options, key=key)
        model.infer(
            wanted.inputs, deadline_s=options.timeout_s or self._timeout_s, done=done,
            options=options, client=request.client,
        )  # fmt: skip  # what runs, then for whom

    def _unpack(self, request: Request, run: Callable[[bytes], None], answer: Answer) -> None:
        if len(request.body) < coding.LARGE_BYTES:
            run(self._plain(request))
        else:
            _in_thread(functools.partial(self._plain, request), run, answer)

    def _plain(self, request: Request) -> bytes:
        encoding = coding.packed_as(request.headers)
        if encoding is None:
            return request.body
        return coding.unpack(request.body, encoding, self._body_bytes)


def _pack(reply: Reply, request: Request, answer: Answer) -> None:
    wanted = coding.wanted_coding(request.headers)
    if wanted is None:
        answer(reply)
    elif sum(len(part) for part in reply.body) < coding.LARGE_BYTES:
        answer(coding.pack(reply, wanted))
    else:
        _in_thread(functools.partial(coding.pack, reply, wanted), answer, answer)


def _in_thread(work: Callable[[], _T], then: Callable[[_T], None], answer: Answer) -> None:
    """Do `work` beside the event loop and go on here; an error is the answer."""

    def finish(done: asyncio.Future[_T]) -> None:
        try:
            then(done.result())
        except RuntimeFault as error:
            answer(error_reply(error))

    asyncio.get_running_loop().run_in_executor(None, work).add_done_callback(finish)


def _segments(target: bytes) -> list[str]:
    path = target.split(b"?", 1)[0]
    if not path.startswith(b"/"):
        raise HttpRefused(400, "the request's target must be a path")
    try:
        return [unquote_to_bytes(part).decode("utf-8") for part in path[1:].split(b"/")]
    except UnicodeDecodeError as error:
        raise HttpRefused(400, "the path is no UTF-8") from error


def _unknown_path(path: list[str]) -> HttpRefused:
    shown = "/".join(path)
    return HttpRefused(404, f"no such path: /{shown[:200]}")
