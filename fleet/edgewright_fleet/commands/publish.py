"""`edgewright fleet publish BUNDLE`: verify, upload, sign here with the offline key, send."""

import argparse
import sys
from pathlib import Path

from edgewright_manifests.bundle import Bundle, open_bundle
from edgewright_manifests.digest import Digest
from edgewright_manifests.errors import TrustError
from edgewright_manifests.metadata import next_release_counter, sign_targets
from edgewright_manifests.release import ImageCustom, target_path

from edgewright_fleet.api.views import ReleaseView
from edgewright_fleet.commands.client import FleetClient, add_connection_arguments
from edgewright_fleet.commands.tables import print_json, print_table, size


def add(sub: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = sub.add_parser(
        "publish",
        help="sign a bundle and make it a release",
        description="Verify a bundle, upload what the server lacks, and sign it into the image "
        "repository with the offline targets key. The key stays on this machine.",
    )
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument(
        "--keys",
        metavar="DIR",
        help="folder of the offline keys (default: DATA/keys/offline)",
    )
    parser.add_argument(
        "--hardware",
        action="append",
        default=[],
        metavar="ID",
        help="hardware that may install it (default: any)",
    )
    add_connection_arguments(parser)
    parser.set_defaults(fleet_act=_publish)


def _publish(arguments: argparse.Namespace) -> int:
    bundle = open_bundle(Path(arguments.bundle))
    bundle.verify()
    keys = _offline_keys(arguments)
    client = FleetClient.from_arguments(arguments)
    published = client.get("/api/v1/releases", list[ReleaseView])
    release = next(
        (r for r in published if (r.model, r.version) == (bundle.name, bundle.version)), None
    )
    if release is None or release.bundle != bundle.digest:
        release = _send(client, bundle, keys, tuple(arguments.hardware) or ("any",))
    else:
        print("it is published already, with this very content", file=sys.stderr)
    if arguments.json:
        print_json(release)
    else:
        _show(release)
    return 0


def _send(
    client: FleetClient, bundle: Bundle, keys: Path, hardware_ids: tuple[str, ...]
) -> ReleaseView:
    current = client.raw("GET", "/api/v1/image/targets")
    counter = next_release_counter(current, bundle.name, bundle.version)
    additions = {
        target_path(bundle.name, bundle.version, entry.variant.id): (
            entry.manifest_bytes,
            ImageCustom(
                kind="model",
                model=bundle.name,
                version=bundle.version,
                release_counter=counter,
                bundle=bundle.digest,
                target=entry.variant.target,
                precision=entry.variant.precision,
                hardware_ids=hardware_ids,
            ),
        )
        for entry in bundle.entries
    }
    # Signed before anything is uploaded: a wrong key costs no upload.
    targets = sign_targets(keys, current, additions)
    missing = client.post(
        "/api/v1/blobs/missing", {"blobs": list(bundle.blobs)}, dict[str, list[Digest]]
    )["missing"]
    for digest in missing:
        path = bundle.path / "blobs" / "sha256" / digest.removeprefix("sha256:")
        with path.open("rb") as file:
            client.put_blob(digest, file, bundle.blobs[digest])
    print(f"uploaded {len(missing)} of {len(bundle.blobs)} blobs", file=sys.stderr)
    body = {
        "index": (bundle.path / "index.json").read_text(),
        "blobs": list(bundle.blobs),
        "targets": targets.decode(),
    }
    return client.post("/api/v1/releases", body, ReleaseView)


def _offline_keys(arguments: argparse.Namespace) -> Path:
    folder = Path(arguments.keys) if arguments.keys else Path(arguments.data) / "keys" / "offline"
    if (folder / "offline").is_dir():
        folder = folder / "offline"
    if not folder.is_dir():
        raise TrustError(f"{folder}: there are no offline keys; give their folder with --keys")
    return folder


def _show(release: ReleaseView) -> None:
    print(f"published {release.model}@{release.version} (release {release.release_counter})")
    print_table(
        ["VARIANT", "ACCURACY", "FLOAT", "SNR dB", "SIZE"],
        [
            (
                variant.id,
                _share(variant.quality.accuracy),
                _share(variant.quality.accuracy_float),
                f"{variant.quality.snr_db:.1f}" if variant.quality.snr_db is not None else None,
                size(variant.size_bytes),
            )
            for variant in release.variants
        ],
        "it has no variants",
    )


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.2%}"
