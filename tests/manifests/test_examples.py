"""The examples in firmware_manifests/examples are real, and match the published schemas."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from edgewright_manifests import documents, schemas
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.custom import read_custom
from edgewright_manifests.digest import digest_of
from edgewright_manifests.envelope import EVENT, VERSION_REPORT, open_envelope
from edgewright_manifests.messages import Desired, Event, VersionReport
from edgewright_manifests.release import DirectorCustom, ImageCustom
from edgewright_manifests.tree import open_checkpoint, parse_verifier_key
from edgewright_manifests.trust import TargetInfo, match_assignment

from tests.manifests.tuf_client import Device

MADE = Path(schemas.__file__).parent.parent / "examples"


def _maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_examples", MADE / "make_examples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=["committed", "made now"])
def examples(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed folder, and one that the script makes now: both must hold."""
    if request.param == "committed":
        return MADE
    folder = tmp_path_factory.mktemp("examples")
    _maker().main(folder)
    made = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    committed = {path.relative_to(MADE) for path in MADE.rglob("*") if path.is_file()}
    strays = {p for p in committed if "__pycache__" in p.parts or p.name == "make_examples.py"}
    assert made == committed - strays
    return folder


def test_the_envelopes_open_with_the_devices_key(examples: Path) -> None:
    key = load_pem_public_key((examples / "device-key.pem").read_bytes())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    for name, payload_type in (("version-report", VERSION_REPORT), ("event", EVENT)):
        sealed = (examples / f"{name}.envelope.json").read_bytes()
        payload = (examples / f"{name}.json").read_bytes()
        assert open_envelope(sealed, payload_type, key) == payload
    report = documents.read_json(examples / "version-report.json", VersionReport)
    event = documents.read_json(examples / "event.json", Event)
    assert report.active == event.release


def test_a_device_accepts_both_repositories_and_the_assignment(
    examples: Path, tmp_path: Path
) -> None:
    now = _maker().EPOCH
    [path] = json.loads((examples / "director" / "targets.json").read_bytes())["signed"]["targets"]
    found = []
    for name in ("director", "image"):
        folder = examples / name

        def read(file: str, folder: Path = folder) -> bytes | None:
            return (folder / file).read_bytes() if (folder / file).is_file() else None

        device = Device(tmp_path / name, read, (folder / "1.root.json").read_bytes())
        target = device.target(now, path)
        assert target is not None
        found.append(target)
    director, image = found
    assignment = match_assignment(
        TargetInfo(
            director.path,
            director.length,
            director.hashes,
            read_custom(director.custom, DirectorCustom, path),
        ),
        TargetInfo(
            image.path, image.length, image.hashes, read_custom(image.custom, ImageCustom, path)
        ),
        device="gateway-7",
        hardware_id="x86-gateway",
        installed=None,
    )
    manifest = (examples / "image" / "targets" / path).read_bytes()
    assert assignment.manifest == digest_of(manifest)
    entry = open_bundle(examples / "detector.bundle").entry("onnx")
    assert entry.manifest_bytes == manifest
    desired = documents.read_json(examples / "desired.json", Desired)
    timestamp = (examples / "director" / "timestamp.json").read_bytes()
    assert desired.director_timestamp == digest_of(timestamp)


def test_the_bundle_and_the_checkpoint_hold(examples: Path) -> None:
    open_bundle(examples / "detector.bundle").verify()
    name, key = parse_verifier_key((examples / "checkpoint.key").read_text())
    note = (examples / "checkpoint.txt").read_bytes()
    assert open_checkpoint(note, key, origin=name).size == 2


def _validate(name: str, document: Any) -> None:  # Any: any JSON document
    schema = json.loads(schemas.schema_of(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)


def test_the_examples_match_the_schemas(examples: Path) -> None:
    for name in ("version-report", "event", "telemetry", "rpc-request", "desired"):
        _validate(name, json.loads((examples / f"{name}.json").read_bytes()))
    for name in ("version-report", "event"):
        _validate("envelope", json.loads((examples / f"{name}.envelope.json").read_bytes()))
    for repository, kind in (("image/2", "image-custom"), ("director/", "director-custom")):
        file = "image/2.targets.json" if repository == "image/2" else "director/targets.json"
        targets = json.loads((examples / file).read_bytes())["signed"]["targets"]
        for target in targets.values():
            _validate(kind, target["custom"])
    bundle = open_bundle(examples / "detector.bundle")
    _validate("bundle-index", json.loads(bundle.read_blob(bundle.digest)))
    for entry in bundle.entries:
        _validate("variant-manifest", json.loads(entry.manifest_bytes))
        _validate("variant", json.loads(entry.read_layer("variant.json")))


def test_a_document_with_an_unknown_field_does_not_match_its_schema(examples: Path) -> None:
    report = json.loads((examples / "version-report.json").read_bytes())
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        _validate("version-report", report | {"extra": 1})


def test_no_private_key_is_among_the_examples() -> None:
    for path in MADE.rglob("*"):
        if path.is_file():
            assert b"PRIVATE" + b" KEY" not in path.read_bytes()
