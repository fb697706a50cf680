"""Make one real example of each signed document, into this folder, with keys then thrown away.

    python firmware_manifests/examples/make_examples.py

The clock stands at EPOCH, so that what expires is judged as of then.
"""

import datetime
import shutil
import tempfile
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edgewright_manifests import documents, envelope
from edgewright_manifests.bundle import DOCUMENT, BundleEntry, BundleWriter, open_bundle
from edgewright_manifests.golden import GoldenVectors, write_golden
from edgewright_manifests.messages import (
    Desired,
    Event,
    Figures,
    RpcRequest,
    Telemetry,
    UpdateState,
    VersionReport,
)
from edgewright_manifests.metadata import (
    DirectorRepository,
    ImageRepository,
    Keyring,
    init_keys,
    sign_targets,
)
from edgewright_manifests.release import DirectorCustom, ImageCustom, target_path
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.tree import Checkpoint, MerkleTree, sign_checkpoint, verifier_key
from edgewright_manifests.trust import TargetInfo, match_assignment
from edgewright_manifests.variant import Quality, Tolerance

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DEVICE = "gateway-7"
HARDWARE = "x86-gateway"
LOG = "fleet.example/audit"


def main(folder: Path) -> None:
    """Write every example into `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = folder / "detector.bundle"
        _write_bundle(bundle)
        opened = open_bundle(bundle)
        custom = DirectorCustom(
            image=_image_custom(opened.digest, opened.entries[0]),
            device=DEVICE,
            hardware_id=HARDWARE,
            assignment=1,
            rollout="rollout-1",
        )
        timestamp = _write_repositories(folder, Path(scratch), opened.entries[0], custom)
        documents.write_atomically(
            folder / "desired.json",
            documents.encode(Desired(generation=1, director_timestamp=timestamp)),
        )
        _write_messages(folder, opened.entries[0], custom)
    _write_checkpoint(folder)


def _write_bundle(path: Path) -> None:
    signature = ModelSignature(
        inputs=(TensorSpec(name="image", datatype="FP32", shape=(-1, 1, 4, 4)),),
        outputs=(TensorSpec(name="logits", datatype="FP32", shape=(-1, 3)),),
    )
    random = np.random.default_rng(7)
    golden = GoldenVectors(
        inputs={"image": random.random((4, 1, 4, 4), np.float32)},
        outputs={"logits": random.random((4, 3), np.float32)},
        labels=np.array([0, 1, 2, 0]),
    )
    with BundleWriter("detector", "1.0.0") as writer:
        card = writer.add_blob(b"# detector 1.0.0\n", DOCUMENT, "model-card.md")
        writer.add_variant(
            target="onnx",
            precision="int8",
            recipe="stands for an ONNX file; this bundle shows the format",
            signature=signature,
            files={"model.onnx": b"not a model"},
            quality=Quality(samples=4, snr_db=31.5, top1_agreement=1.0),
            tolerance=Tolerance(min_snr_db=25.0, min_top1_agreement=0.95),
            claimed=True,
            golden=write_golden(golden),
            shared=[card],
        )
        writer.commit(path, replace=True)


def _image_custom(bundle: str, entry: BundleEntry) -> ImageCustom:
    return ImageCustom(
        kind="model",
        model=entry.variant.model,
        version=entry.variant.version,
        release_counter=1,
        bundle=bundle,
        target=entry.variant.target,
        precision=entry.variant.precision,
    )


def _write_repositories(
    folder: Path, scratch: Path, entry: BundleEntry, custom: DirectorCustom
) -> str:
    keys = scratch / "keys"
    init_keys(keys, clock=_clock)
    online = Keyring(keys / "online")
    image = ImageRepository.open(scratch / "image", keys / "public", online, clock=_clock)
    path = target_path(custom.image.model, custom.image.version, entry.variant.id)
    additions = {path: (entry.manifest_bytes, custom.image)}
    signed = sign_targets(keys / "offline", image.read("targets.json"), additions, clock=_clock)
    image.accept_targets(signed, {path: entry.manifest_bytes})
    director = DirectorRepository.open(scratch / "director", keys / "public", online, clock=_clock)
    digest = entry.manifest_digest.removeprefix("sha256:")
    assigned = director.assign(DEVICE, {path: (len(entry.manifest_bytes), digest, custom)})
    for name in ("image", "director"):
        shutil.rmtree(folder / name, ignore_errors=True)
    version = image.targets_version
    for name in (
        "1.root.json",
        f"{version}.targets.json",
        f"{version}.snapshot.json",
        "timestamp.json",
        f"targets/{path}",
    ):
        documents.write_atomically(folder / "image" / name, image.read(name) or b"")
    documents.write_atomically(
        folder / "director" / "1.root.json", director.read(DEVICE, "1.root.json") or b""
    )
    for name, data in assigned.files.items():
        documents.write_atomically(folder / "director" / name, data)
    return assigned.timestamp_digest


def _write_messages(folder: Path, entry: BundleEntry, custom: DirectorCustom) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    key_id = envelope.key_id(key.public_key())
    path = target_path(custom.image.model, custom.image.version, entry.variant.id)
    hashes = {"sha256": entry.manifest_digest.removeprefix("sha256:")}
    length = len(entry.manifest_bytes)
    installed = match_assignment(
        TargetInfo(path, length, hashes, custom),
        TargetInfo(path, length, hashes, custom.image),
        device=DEVICE,
        hardware_id=HARDWARE,
        installed=None,
    ).installed
    figures = Figures(requests=1200, errors=0, latency_ms_p50=0.6, latency_ms_p99=1.9)
    report = VersionReport(
        device=DEVICE,
        sequence=17,
        time=EPOCH,
        profile="x86-gateway",
        hardware_id=HARDWARE,
        targets=("openvino", "onnx", "tflite"),
        agent="0.1.0",
        state=UpdateState.IDLE,
        assignment=1,
        active=installed,
        figures=figures,
    )
    event = Event(
        device=DEVICE,
        id="gateway-7-1-000004",
        time=EPOCH,
        assignment=1,
        state=UpdateState.PREFLIGHT,
        outcome="done",
        release=installed,
        detail="SNR 31.5 dB on 4 golden samples, at least 25.0 dB promised",
        duration_s=0.4,
    )
    telemetry = Telemetry(time=EPOCH, figures=figures, memory_bytes=96_000_000, temperature_c=51.5)
    request = RpcRequest(operation="metadata", path="director/timestamp.json")
    for name, document in (
        ("version-report", report),
        ("event", event),
        ("telemetry", telemetry),
        ("rpc-request", request),
    ):
        documents.write_atomically(folder / f"{name}.json", documents.encode(document))
    for name, kind in (("version-report", envelope.VERSION_REPORT), ("event", envelope.EVENT)):
        payload = (folder / f"{name}.json").read_bytes()
        sealed = envelope.seal(payload, kind, key, key_id)
        documents.write_atomically(folder / f"{name}.envelope.json", sealed)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    documents.write_atomically(folder / "device-key.pem", public)


def _write_checkpoint(folder: Path) -> None:
    key = Ed25519PrivateKey.generate()
    tree = MerkleTree()
    for record in (b'{"operation":"publish"}', b'{"operation":"rollout start"}'):
        tree.append(record)
    note = sign_checkpoint(Checkpoint(LOG, tree.size, tree.root()), key)
    documents.write_atomically(folder / "checkpoint.txt", note)
    documents.write_atomically(
        folder / "checkpoint.key", verifier_key(LOG, key.public_key()).encode() + b"\n"
    )


def _clock() -> datetime.datetime:
    return EPOCH


if __name__ == "__main__":
    main(Path(__file__).parent)
