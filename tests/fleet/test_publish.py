import json
import shutil
from pathlib import Path

from edgewright_manifests.metadata import init_keys

from tests.fleet.bundles import make_bundle
from tests.fleet.running import FleetProcess, edgewright


def releases(fleet: FleetProcess, model: str) -> list[str]:
    return [r["version"] for r in fleet.api("GET", "/api/v1/releases")[1] if r["model"] == model]


def test_publishing_again_is_no_error_and_changes_nothing(
    fleet: FleetProcess, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "b", "1", model="twice")
    first = json.loads(fleet.command("publish", str(bundle), "--json").stdout)
    targets = fleet.api("GET", "/api/v1/image/targets")[1]
    again = fleet.command("publish", str(bundle), "--json")
    assert json.loads(again.stdout) == first
    assert "published already" in again.stderr
    assert fleet.api("GET", "/api/v1/image/targets")[1] == targets


def test_release_counters_rise_by_model(fleet: FleetProcess, tmp_path: Path) -> None:
    for number, version in enumerate(["a", "b", "c"], start=1):
        bundle = make_bundle(tmp_path / version, version, model="counted")
        release = json.loads(fleet.command("publish", str(bundle), "--json").stdout)
        assert release["release_counter"] == number


def test_one_version_has_one_content(fleet: FleetProcess, tmp_path: Path) -> None:
    fleet.command("publish", str(make_bundle(tmp_path / "a", "1", model="same")))
    other = make_bundle(tmp_path / "b", "1", model="same", weight=b"other")
    refused = fleet.command("publish", str(other), expect=1)
    assert "published already with other contents" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_wrong_key_publishes_nothing(fleet: FleetProcess, tmp_path: Path) -> None:
    init_keys(tmp_path / "other-keys")
    bundle = make_bundle(tmp_path / "b", "1", model="stranger")
    refused = fleet.command(
        "publish", str(bundle), "--keys", str(tmp_path / "other-keys"), expect=1
    )
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "signature" in refused.stderr
    assert releases(fleet, "stranger") == []


def test_the_server_itself_refuses_targets_by_a_wrong_key(
    fleet: FleetProcess, tmp_path: Path
) -> None:
    bundle = make_bundle(tmp_path / "b", "1", model="forged")
    # The forger's keys with the fleet's public roots: only the server is left to notice.
    init_keys(tmp_path / "keys")
    targets_key = (tmp_path / "keys" / "offline" / "targets.pem").read_bytes()
    shutil.copytree(fleet.data / "keys" / "public", tmp_path / "forged" / "public")
    (tmp_path / "forged" / "offline").mkdir()
    (tmp_path / "forged" / "offline" / "targets.pem").write_bytes(targets_key)
    refused = fleet.command("publish", str(bundle), "--keys", str(tmp_path / "forged"), expect=1)
    assert "targets" in refused.stderr
    assert releases(fleet, "forged") == []


def test_one_flipped_bit_publishes_nothing(fleet: FleetProcess, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", "1", model="flipped")
    blob = max((bundle / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    refused = fleet.command("publish", str(bundle), expect=1)
    assert blob.name in refused.stderr
    assert releases(fleet, "flipped") == []


def test_a_blob_whose_bytes_are_not_its_digest_is_not_kept(fleet: FleetProcess) -> None:
    digest = "sha256:" + "a" * 64
    status, _, body = fleet.request(
        "PUT",
        f"/api/v1/blobs/{digest}",
        b"something else",
        {"Authorization": f"Bearer {fleet.admin_token}"},
    )
    assert (status, b"have digest" in body) == (422, True)
    _, answer = fleet.api("POST", "/api/v1/blobs/missing", {"blobs": [digest]})
    assert answer == {"missing": [digest]}


def test_a_release_without_its_blobs_is_refused(fleet: FleetProcess, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", "1", model="hollow", weight=b"never sent")
    digests = [f"sha256:{path.name}" for path in (bundle / "blobs" / "sha256").iterdir()]
    status, answer = fleet.api(
        "POST",
        "/api/v1/releases",
        {"index": (bundle / "index.json").read_text(), "blobs": digests, "targets": "{}"},
    )
    assert status in (404, 422)
    assert "not" in answer["error"]


def test_a_release_may_name_its_hardware(fleet: FleetProcess, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b", "1", model="picky")
    words = ("publish", str(bundle), "--hardware", "board-a", "--hardware", "board-b", "--json")
    release = json.loads(fleet.command(*words).stdout)
    assert release["variants"][0]["hardware_ids"] == ["board-a", "board-b"]


def test_a_command_without_a_server_says_what_to_do(tmp_path: Path) -> None:
    refused = edgewright("fleet", "devices", "--data", str(tmp_path), expect=1)
    assert "edgewright fleet serve" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
