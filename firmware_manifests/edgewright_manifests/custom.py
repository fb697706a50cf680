"""The `custom` of a TUF target, as typed documents.

TUF signs canonical JSON, which has no fractions: numbers like 0.01 stand there as
strings ("0.01"), and come back as numbers.
"""

from typing import Any, TypeVar

import msgspec

from edgewright_manifests.errors import TrustError
from edgewright_manifests.release import DirectorCustom, ImageCustom

CustomT = TypeVar("CustomT", ImageCustom, DirectorCustom)


def write_custom(custom: ImageCustom | DirectorCustom) -> dict[str, Any]:  # Any: JSON, for TUF
    """What to put under `custom` in TUF metadata."""
    table: dict[str, Any] = _without_fractions(msgspec.to_builtins(custom))  # Any: as above
    return table


def read_custom(custom: object, kind: type[CustomT], path: str) -> CustomT:
    """The typed custom of the target at `path`. Raises TrustError when it is no `kind`."""
    try:
        return msgspec.convert(custom, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise TrustError(
            f"{path}: its custom is no {kind.__name__}: {error}; publish the release again "
            "(nothing was installed)"
        ) from error


def _without_fractions(value: Any) -> Any:  # Any: a tree of JSON values
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {key: _without_fractions(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_fractions(item) for item in value]
    return value
