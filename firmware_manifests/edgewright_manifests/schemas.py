"""JSON Schemas of the documents, generated from their types: `python -m ... --write`.

They are kept in `firmware_manifests/schemas/` for programs that are not ours; a test
holds them equal to the types.
"""

import argparse
import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from edgewright_manifests import documents
from edgewright_manifests.bundle.oci import OciIndex, OciManifest
from edgewright_manifests.device_profile import DeviceProfile
from edgewright_manifests.envelope import Envelope
from edgewright_manifests.messages import (
    Desired,
    EnrolmentReply,
    EnrolmentRequest,
    EnrolmentToken,
    Event,
    RpcRequest,
    Telemetry,
    VersionReport,
)
from edgewright_manifests.release import DirectorCustom, ImageCustom
from edgewright_manifests.variant import Variant

FOLDER = Path(__file__).parent.parent / "schemas"
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

DOCUMENTS: Mapping[str, type[msgspec.Struct]] = MappingProxyType(
    {
        "bundle-index": OciIndex,
        "desired": Desired,
        "device-profile": DeviceProfile,
        "director-custom": DirectorCustom,
        "enrolment-reply": EnrolmentReply,
        "enrolment-request": EnrolmentRequest,
        "enrolment-token": EnrolmentToken,
        "envelope": Envelope,
        "event": Event,
        "image-custom": ImageCustom,
        "rpc-request": RpcRequest,
        "telemetry": Telemetry,
        "variant": Variant,
        "variant-manifest": OciManifest,
        "version-report": VersionReport,
    }
)
_IN_TUF = ("director-custom", "image-custom")


def schema_of(name: str) -> bytes:
    """The JSON Schema of one of DOCUMENTS, as the file has it."""
    table: dict[str, Any] = msgspec.json.schema(DOCUMENTS[name])  # Any: a JSON document
    if name in _IN_TUF:
        _numbers_as_strings(table)
    _clean_descriptions(table)
    table = {"$schema": SCHEMA_DIALECT, "title": name, **table}
    return json.dumps(table, indent=2).encode() + b"\n"


def _clean_descriptions(node: object) -> None:
    """Docstrings without their indentation, which Python 3.13 removes and 3.12 keeps."""
    if isinstance(node, dict):
        if isinstance(text := node.get("description"), str):
            node["description"] = inspect.cleandoc(text)
        for child in node.values():
            _clean_descriptions(child)
    elif isinstance(node, list):
        for child in node:
            _clean_descriptions(child)


def outdated(folder: Path = FOLDER) -> list[str]:
    """Names of the files in `folder` that differ from the types, are missing, or are stray."""
    wanted = {f"{name}.json": schema_of(name) for name in DOCUMENTS}
    have = {path.name: path.read_bytes() for path in folder.glob("*.json")}
    return sorted(
        name for name in wanted.keys() | have.keys() if wanted.get(name) != have.get(name)
    )


def write(folder: Path = FOLDER) -> None:
    """Make `folder` equal to the types."""
    for name in DOCUMENTS:
        documents.write_atomically(folder / f"{name}.json", schema_of(name))
    for name in outdated(folder):
        (folder / name).unlink()


def main() -> int:
    """Write or check; 1 when a check finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m edgewright_manifests.schemas")
    parser.add_argument("--write", action="store_true", help="write them; else only compare")
    if parser.parse_args().write:
        write()
    different = outdated()
    for name in different:
        sys.stderr.write(f"{FOLDER / name}: differs from the types; run with --write\n")
    return 1 if different else 0


def _numbers_as_strings(node: Any) -> None:  # Any: a tree of JSON values
    """TUF's canonical JSON has no fractions: custom.write_custom writes them as strings."""
    if isinstance(node, dict):
        if node.get("type") == "number":
            node |= {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?(e-?[0-9]+)?$"}
            if "default" in node:
                node["default"] = repr(node["default"])
        if isinstance(node.get("default"), dict):
            for key, value in node["default"].items():
                if isinstance(value, float):
                    node["default"][key] = repr(value)
        for item in node.values():
            _numbers_as_strings(item)
    elif isinstance(node, list):
        for item in node:
            _numbers_as_strings(item)


if __name__ == "__main__":
    sys.exit(main())
