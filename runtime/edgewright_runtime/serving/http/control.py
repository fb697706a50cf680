"""Paths of Triton's extensions beside inference: repository, memory, logging, trace, statistics."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from edgewright_manifests.errors import EdgewrightError

from edgewright_runtime.errors import InvalidInput, RuntimeFault, one_line
from edgewright_runtime.serving.http.infer import parse_document
from edgewright_runtime.serving.http.messages import (
    Answer,
    HttpRefused,
    Reply,
    Request,
    empty_reply,
    error_reply,
    json_reply,
)
from edgewright_runtime.serving.http.routes import Route, get, only, post
from edgewright_runtime.serving.inference.extensions import Extensions
from edgewright_runtime.serving.inference.shared_memory import byte_count
from edgewright_runtime.serving.inference.statistics import statistics
from edgewright_runtime.serving.repository import Repository

Document = dict[str, Any]  # JSON


class ControlPaths:
    """Finds the route of a path; `plain` unpacks a request's body."""

    def __init__(
        self,
        repository: Repository,
        extensions: Extensions,
        plain: Callable[[Request], bytes],
    ) -> None:
        self._repository = repository
        self._extensions = extensions
        self._plain = plain
        self._tasks: set[asyncio.Task[None]] = set()

    def resolve(self, method: bytes, path: list[str]) -> Route | None:
        """The route, None for a path of somebody else. Raises HttpRefused for another method."""
        match path:
            case ["v2", "repository", "index"]:
                return post(method, self._index)
            case ["v2", "repository", "models", model, "load"]:
                return self._later(method, lambda body: self._load(model, body))
            case ["v2", "repository", "models", model, "unload"]:
                return self._later(method, lambda body: self._unload(model, body))
            case ["v2", "models", "stats"]:
                return get(method, lambda: json_reply(statistics(self._repository)))
            case ["v2", "models", model, "stats"]:
                return get(method, lambda: json_reply(statistics(self._repository, model)))
            case ["v2", "models", model, "versions", version, "stats"]:
                return get(method, lambda: json_reply(statistics(self._repository, model, version)))
            case ["v2", "logging"]:
                return self._settings(
                    method,
                    self._extensions.log.shown,
                    self._extensions.log.update,
                )
            case ["v2", "trace", "setting"]:
                return self._traces(method, None)
            case ["v2", "models", model, "trace", "setting"]:
                return self._traces(method, model)
            case ["v2", "systemsharedmemory" | "cudasharedmemory" as kind, *rest]:
                return self._memory(method, kind == "cudasharedmemory", rest)
            case _:
                return None

    def _index(self, request: Request) -> Reply:
        ready = self._document(request).get("ready", False)
        if not isinstance(ready, bool):
            raise InvalidInput("'ready' must be true or false")
        return json_reply(self._extensions.loading.index(only_ready=ready))

    async def _load(self, model: str, document: Document) -> None:
        await self._extensions.loading.load(model, _parameters(document))

    async def _unload(self, model: str, document: Document) -> None:
        _parameters(document)  # unload_dependents: no model here has others below it
        await self._extensions.loading.unload(model)

    def _traces(self, method: bytes, model: str | None) -> Route:
        traces = self._extensions.traces

        def shown() -> Document:
            self._check_model(model)
            return traces.shown(model)

        def update(changes: Document) -> Document:
            self._check_model(model)
            return traces.update(changes, model)

        return self._settings(method, shown, update)

    def _check_model(self, model: str | None) -> None:
        if model is not None:
            self._repository.model(model)

    def _settings(
        self,
        method: bytes,
        shown: Callable[[], Document],
        update: Callable[[Document], Document],
    ) -> Route:
        if method == b"POST":
            return post(method, lambda request: json_reply(update(self._document(request))))
        if method != b"GET":
            raise HttpRefused(405, "this path takes GET and POST", headers=b"Allow: GET, POST\r\n")
        return get(method, lambda: json_reply(shown()))

    def _memory(self, method: bytes, is_cuda: bool, rest: list[str]) -> Route | None:
        memory = self._extensions.memory
        name = rest[1] if len(rest) == 3 and rest[0] == "region" else None
        match rest[-1:]:
            case _ if name is None and len(rest) != 1:
                return None
            case ["status"] if is_cuda:
                return get(method, lambda: _cuda_status(name))
            case ["status"]:
                return get(method, lambda: json_reply(memory.status(name)))
            case ["unregister"]:
                return post(method, lambda _: self._unregister(is_cuda, name))
            case ["register"] if name is not None:
                return post(method, lambda request: self._register(is_cuda, name, request))
            case _:
                return None

    def _register(self, is_cuda: bool, name: str, request: Request) -> Reply:
        document = self._document(request)
        if is_cuda:
            raise InvalidInput(
                "this server takes no CUDA shared memory; use system shared memory, or the "
                "local door"
            )
        key, what = document.get("key"), f"region '{name}'"
        if not isinstance(key, str):
            raise InvalidInput(f"{what}: 'key' must be the name of its memory")
        if "byte_size" not in document:
            raise InvalidInput(f"{what}: 'byte_size' is missing")
        offset = byte_count(document, "offset", what)
        self._extensions.memory.register(name, key, offset, byte_count(document, "byte_size", what))
        return empty_reply()

    def _unregister(self, is_cuda: bool, name: str | None) -> Reply:
        if not is_cuda:
            self._extensions.memory.unregister(name)
        return empty_reply()

    def _document(self, request: Request) -> Document:
        body = self._plain(request)
        return parse_document(body) if body else {}

    def _later(self, method: bytes, act: Callable[[Document], Coroutine[Any, Any, None]]) -> Route:
        """A route for POST whose reply waits for what takes time."""
        only(method, b"POST")

        def begin(request: Request, answer: Answer) -> None:
            task = asyncio.get_running_loop().create_task(
                _answered(act(self._document(request)), answer)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return begin


async def _answered(act: Coroutine[Any, Any, None], answer: Answer) -> None:
    try:
        await act
    except RuntimeFault as error:
        answer(error_reply(error))
    except EdgewrightError as error:
        answer(error_reply(InvalidInput(one_line(error))))
    except OSError as error:
        answer(error_reply(RuntimeFault(f"the model is not loaded: {one_line(error)}")))
    else:
        answer(empty_reply())


def _parameters(document: Document) -> Document:
    parameters = document.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidInput("'parameters' must be an object")
    return parameters


def _cuda_status(name: str | None) -> Reply:
    if name is not None:
        raise HttpRefused(404, f"no CUDA shared memory region '{name}' is registered")
    return json_reply([])
