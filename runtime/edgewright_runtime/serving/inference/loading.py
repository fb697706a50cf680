"""Triton's repository extension: what may be loaded and unloaded by name, and the index."""

import asyncio
import base64
import binascii
import tempfile
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from edgewright_manifests.errors import EdgewrightError
from edgewright_manifests.variant import Target

from edgewright_runtime.engine.artifact import Artifact
from edgewright_runtime.errors import InvalidInput, ModelUnknown, NotAllowed
from edgewright_runtime.serving.inference import describe
from edgewright_runtime.serving.repository import Repository

Find = Callable[[], Artifact]
_FILE = "file:"
_SUFFIXES: Mapping[str, Target] = {".onnx": "onnx", ".tflite": "tflite"}
_CHECKED = ("name", "platform", "backend", "max_batch_size", "input", "output")
"""What a configuration may say of a model, if it says what the model is."""


class Loading:
    """Loads and unloads the models that the server was started with, where that is allowed.

    `sources` finds each again; a device's releases have none: the fleet says what it serves.
    """

    def __init__(
        self,
        repository: Repository,
        sources: Mapping[str, Find],
        *,
        is_explicit: bool,
        takes_files: bool = False,
    ) -> None:
        self._repository = repository
        self._sources = dict(sources)
        self._is_explicit = is_explicit
        self._takes_files = takes_files
        self._folders: dict[str, tempfile.TemporaryDirectory[str]] = {}
        self._numbers = count(1)
        self._changing = asyncio.Lock()

    def index(self, *, only_ready: bool = False) -> list[dict[str, str]]:
        """POST /v2/repository/index: what is loaded, and what can be loaded again."""
        found = describe.repository_index(self._repository)
        loaded = self._repository.models
        found += [
            {"name": name, "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"}
            for name in self._sources
            if name not in loaded
        ]
        return [entry for entry in found if entry["state"] == "READY" or not only_ready]

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load a model from where it came, beside what serves, and switch to it.

        `parameters` (Any: parsed JSON): `config`, a configuration that must say what the model
        is; `file:VERSION/NAME`, bytes or base64, where files are taken. Raises NotAllowed,
        ModelUnknown, InvalidInput, and what loading raises.
        """
        self._check_allowed("loaded")
        config = _config(parameters)
        file = self._file(parameters)
        async with self._changing:
            folder = None
            if file is None:
                if name not in self._sources:
                    raise ModelUnknown(
                        f"no model '{name}' to load: the server was not started with it"
                    )
                find = self._sources[name]
            else:
                folder, find = await asyncio.to_thread(_written, *file)
            generation = f"load-{next(self._numbers)}"
            try:
                await self._repository.load(name, generation, find)
                _check_config(name, config, self._repository, generation)
                await self._repository.switch(name, generation, keep_previous=False)
            except EdgewrightError:
                await self._repository.unload(name, generation)
                if folder is not None:
                    folder.cleanup()
                raise
            self._forget_folder(name)
            if folder is not None:
                self._folders[name] = folder

    async def unload(self, name: str) -> None:
        """Drain and free all of a model; nothing to do when it is not loaded. Raises NotAllowed."""
        self._check_allowed("unloaded")
        async with self._changing:
            served = self._repository.models.get(name)
            for generation in list(served.generations) if served is not None else []:
                await self._repository.unload(name, generation)
            self._forget_folder(name)

    def close(self) -> None:
        """Remove the files that clients sent."""
        for name in list(self._folders):
            self._forget_folder(name)

    def _forget_folder(self, name: str) -> None:
        folder = self._folders.pop(name, None)
        if folder is not None:
            folder.cleanup()

    def _check_allowed(self, done: str) -> None:
        if not self._is_explicit:
            raise NotAllowed(
                f"models are not {done} by clients of this server; start it with "
                "--model-control explicit, or roll a release out to this device"
            )

    def _file(self, parameters: Mapping[str, Any]) -> tuple[str, str, bytes] | None:
        files = [key for key in parameters if key.startswith(_FILE)]
        unknown = [key for key in parameters if key not in ("config", *files)]
        if unknown:
            raise InvalidInput(f"there is no load parameter '{unknown[0][:100]}'")
        if not files:
            return None
        if not self._takes_files:
            raise NotAllowed(
                "this server takes no model files from clients; start it with "
                "--model-files accept, or name the model at its start"
            )
        if len(files) != 1:
            raise InvalidInput("a model is one file here; give one file:VERSION/NAME")
        version, _, name = files[0].removeprefix(_FILE).partition("/")
        content = parameters[files[0]]
        if not version.isdecimal() or not name or "/" in name or name.startswith("."):
            raise InvalidInput(f"'{files[0][:100]}' is not file:VERSION/NAME")
        if isinstance(content, bytes):
            return version, name, content  # as gRPC has it
        if not isinstance(content, str):
            raise InvalidInput(f"'{files[0][:100]}' must be base64")
        try:
            return version, name, base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(f"'{files[0][:100]}' is no base64") from error


def _written(
    version: str, name: str, content: bytes
) -> tuple[tempfile.TemporaryDirectory[str], Find]:
    target = _SUFFIXES.get(Path(name).suffix)
    if target is None:
        raise InvalidInput(f"'{name[:100]}' is no model file; it may be {', '.join(_SUFFIXES)}")
    folder = tempfile.TemporaryDirectory(prefix="edgewright-model-")
    path = Path(folder.name) / name
    path.write_bytes(content)
    artifact = Artifact(version, target, target, path)
    return folder, lambda: artifact


def _config(parameters: Mapping[str, Any]) -> dict[str, Any]:
    text = parameters.get("config")
    if text is None:
        return {}
    if not isinstance(text, str):
        raise InvalidInput("'config' must be a model's configuration as text")
    try:
        config = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"'config' is no valid JSON: {error}") from error
    if not isinstance(config, dict):
        raise InvalidInput("'config' must be a JSON object")
    return config


def _check_config(
    name: str, config: Mapping[str, Any], repository: Repository, generation: str
) -> None:
    """A configuration changes nothing here; it may say what is so. Raises InvalidInput."""
    if not config:
        return
    actual = describe.model_config(name, repository.generation(name, generation))
    for key in _CHECKED:
        wanted = config.get(key, actual[key])
        if wanted != actual[key] and not _says_less(wanted, actual[key]):
            raise InvalidInput(
                f"'config' says {str(wanted)[:200]} for '{key}', model '{name}' has {actual[key]}; "
                "a configuration cannot change a model here"
            )


def _says_less(wanted: Any, actual: Any) -> bool:
    """Whether each tensor is described alike, whatever else Triton's configurations say of it."""
    if wanted in ("", []):
        return True
    if not isinstance(wanted, list) or not isinstance(actual, list) or len(wanted) != len(actual):
        return False
    return all(
        isinstance(mine, dict) and all(mine.get(key) == value for key, value in has.items())
        for mine, has in zip(wanted, actual, strict=True)
    )
