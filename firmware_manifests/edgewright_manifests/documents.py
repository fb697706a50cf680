"""JSON and TOML in and out of the typed documents, with errors that name the place.

Every document is a frozen msgspec struct that forbids unknown fields. JSON is
written compact and in field order, so that equal documents have equal bytes.
"""

import os
import re
import tempfile
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

from edgewright_manifests.errors import DocumentError

T = TypeVar("T")


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every document: immutable, and a field it does not know is an error."""


def encode(document: msgspec.Struct) -> bytes:
    """Compact UTF-8 JSON; equal documents give equal bytes."""
    return msgspec.json.encode(document)


def decode(data: bytes | str, kind: type[T], *, source: str) -> T:
    """Parse JSON into `kind`.

    Raises DocumentError, naming `source`, for anything that is no valid `kind`.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(source, f"is no valid {kind.__name__}: {error}") from error


def read_json(path: Path, kind: type[T]) -> T:
    """Parse the JSON file at `path`. Raises DocumentError, also when it cannot be read."""
    return decode(read_bytes(path), kind, source=str(path))


def read_toml(path: Path, kind: type[T]) -> T:
    """Parse the TOML file at `path`; an unknown key names the nearest known one.

    Raises DocumentError for an unreadable file, wrong syntax, or a wrong key or value.
    """
    data = read_bytes(path)
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DocumentError(str(path), f"is no valid TOML: {error}") from error
    try:
        return msgspec.convert(table, type=kind)
    except msgspec.ValidationError as error:
        raise DocumentError(str(path), str(error), _nearest_key(str(error), kind)) from error


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises DocumentError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DocumentError(str(path), f"cannot be read: {error.strerror}") from error


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` so that a crash at any moment leaves the old bytes or the new ones.

    The order (write, fsync, rename, fsync folder) is the one that survived replayed
    power cuts on ext4.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _nearest_key(message: str, kind: type[object]) -> str:
    match = re.search(r"unknown field `([^`]+)`(?: - at `\$?\.?([^`]*)`)?", message)
    if match is None:
        return ""
    known = _keys_at(kind, (match[2] or "").replace("[...]", "[]").split("."))
    import difflib  # only for a message

    near = difflib.get_close_matches(match[1], known, n=1, cutoff=0.5)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"known keys: {', '.join(sorted(known))}" if known else ""


def _keys_at(kind: object, path: list[str]) -> list[str]:
    for step in filter(None, path):
        info = msgspec.inspect.type_info(kind)
        if not isinstance(info, msgspec.inspect.StructType):
            return []
        name, _, item = step.partition("[")
        found = {f.encode_name: f.type for f in info.fields}.get(name)
        if item and isinstance(found, msgspec.inspect.DictType):
            found = found.value_type
        if not isinstance(found, msgspec.inspect.StructType):
            return []
        kind = found.cls
    info = msgspec.inspect.type_info(kind)
    if not isinstance(info, msgspec.inspect.StructType):
        return []
    return [field.encode_name for field in info.fields]
