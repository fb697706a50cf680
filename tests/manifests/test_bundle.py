import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edgewright_manifests.bundle import (
    ARTIFACT,
    DOCUMENT,
    BundleWriter,
    assemble_unpacked,
    open_bundle,
    parse_manifest,
    read_unpacked,
)
from edgewright_manifests.bundle.reader import blob_path
from edgewright_manifests.digest import digest_of
from edgewright_manifests.errors import BundleError, DocumentError
from edgewright_manifests.golden import write_golden
from edgewright_manifests.signature import ModelSignature
from edgewright_manifests.variant import Quality, Tolerance

from tests.manifests.making import SIGNATURE, golden_vectors, write_bundle


def test_a_bundle_gives_back_what_was_put_in(tmp_path: Path) -> None:
    bundle = open_bundle(write_bundle(tmp_path / "b"))
    bundle.verify()
    assert (bundle.name, bundle.version) == ("detector", "1.0.0")
    assert [entry.variant.id for entry in bundle.entries] == ["onnx-int8", "tflite-int8"]
    entry = bundle.entry("tflite")
    assert entry.read_layer("model.tflite") == b"weights for tflite"
    assert entry.read_layer("model-card.md") == b"# card\n"
    assert entry.variant.files[0].digest == digest_of(b"weights for tflite")
    assert entry.read_golden().samples == 4
    assert bundle.read_blob(entry.variant.files[0].digest) == b"weights for tflite"


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    one = open_bundle(write_bundle(tmp_path / "one"))
    two = open_bundle(write_bundle(tmp_path / "two"))
    assert one.digest == two.digest
    assert one.blobs == two.blobs


def test_the_same_blob_is_stored_once(tmp_path: Path) -> None:
    bundle = open_bundle(write_bundle(tmp_path / "b"))
    # Per variant: manifest, config, artifact, variant document; once: index, golden, card.
    assert len(list((tmp_path / "b" / "blobs" / "sha256").iterdir())) == 2 * 4 + 3
    assert len(bundle.blobs) == 2 * 4 + 3


def test_a_device_gets_all_it_needs_from_the_manifest_alone(tmp_path: Path) -> None:
    entry = open_bundle(write_bundle(tmp_path / "b")).entry("onnx")
    manifest = parse_manifest(entry.manifest_bytes)
    assert [blob.title for blob in manifest.needed] == ["variant.json", "model.onnx", "golden.npz"]
    assert manifest.variant_digest == manifest.needed[0].digest
    assert manifest.golden.size_bytes == entry.golden.size_bytes


@pytest.mark.parametrize("link", [True, False])
def test_blobs_fetched_one_by_one_become_an_unpacked_variant(tmp_path: Path, link: bool) -> None:
    bundle = open_bundle(write_bundle(tmp_path / "b"))
    entry = bundle.entry("onnx")
    blobs = {d.digest: blob_path(bundle.path, d.digest) for d in entry.manifest.needed}
    slot = tmp_path / "slot"
    assert assemble_unpacked(slot, entry.manifest_bytes, blobs, link=link) == entry.variant
    assert read_unpacked(slot) == entry.variant
    assert sorted(p.name for p in slot.iterdir()) == ["golden.npz", "model.onnx", "variant.json"]
    linked = (slot / "model.onnx").samefile(blobs[entry.variant.files[0].digest])
    assert linked == link


def test_a_damaged_or_missing_blob_is_never_assembled(tmp_path: Path) -> None:
    bundle = open_bundle(write_bundle(tmp_path / "b"))
    entry = bundle.entry("onnx")
    blobs = {d.digest: blob_path(bundle.path, d.digest) for d in entry.manifest.needed}
    artifact = entry.variant.files[0].digest
    bad = tmp_path / "bad"
    bad.write_bytes(b"Weights for onnx")
    with pytest.raises(BundleError, match="fetch it again"):
        assemble_unpacked(tmp_path / "s1", entry.manifest_bytes, blobs | {artifact: bad})
    del blobs[artifact]
    with pytest.raises(BundleError, match=r"model\.onnx\) is missing"):
        assemble_unpacked(tmp_path / "s2", entry.manifest_bytes, blobs)


def test_unpacking_copies_and_never_into_a_folder_in_use(tmp_path: Path) -> None:
    entry = open_bundle(write_bundle(tmp_path / "b")).entry("onnx")
    entry.unpack(tmp_path / "slot")
    assert read_unpacked(tmp_path / "slot").id == "onnx-int8"
    with pytest.raises(BundleError, match="not empty"):
        entry.unpack(tmp_path / "slot")


def test_an_unpacked_variant_that_lost_a_file_is_refused(tmp_path: Path) -> None:
    entry = open_bundle(write_bundle(tmp_path / "b")).entry("onnx")
    entry.unpack(tmp_path / "slot")
    (tmp_path / "slot" / "model.onnx").write_bytes(b"short")
    with pytest.raises(BundleError, match=r"model\.onnx: has 5 bytes"):
        read_unpacked(tmp_path / "slot")
    (tmp_path / "slot" / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx: cannot be read"):
        read_unpacked(tmp_path / "slot")


def test_an_entry_is_found_by_target_or_id_and_others_are_listed(tmp_path: Path) -> None:
    bundle = open_bundle(write_bundle(tmp_path / "b"))
    assert bundle.entry("onnx") is bundle.entry("onnx-int8")
    with pytest.raises(BundleError, match="no variant 'coreml'; it has onnx-int8, tflite-int8"):
        bundle.entry("coreml")
    with pytest.raises(BundleError, match="there is no blob"):
        bundle.read_blob(digest_of(b"something else"))
    with pytest.raises(BundleError, match=r"it has model\.onnx"):
        bundle.entry("onnx").read_layer("model.pt")


def test_what_is_no_bundle_is_never_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with BundleWriter("detector", "1.0.0") as writer:
        _add(writer)
        for replace in (False, True):
            with pytest.raises(BundleError, match="exists"):
                writer.commit(mine, replace=replace)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_bundle_is_replaced_only_on_request(tmp_path: Path) -> None:
    out = write_bundle(tmp_path / "b")
    with BundleWriter("detector", "2.0.0") as writer:
        _add(writer)
        with pytest.raises(BundleError, match="exists already"):
            writer.commit(out)
        assert open_bundle(out).version == "1.0.0"
        writer.commit(out, replace=True)
    bundle = open_bundle(out)
    bundle.verify()
    assert bundle.version == "2.0.0"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_failing_commit_leaves_nothing_behind(tmp_path: Path) -> None:
    with BundleWriter("detector", "1.0.0") as writer:
        writer.add_blob(b"#", DOCUMENT, "card.md")
        with pytest.raises(BundleError, match="at least one variant"):
            writer.commit(tmp_path / "b")
        _add(writer)
        with pytest.raises(BundleError, match=r"card\.md is in no variant"):
            writer.commit(tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "title", ["../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "", "..", "a\0b", "x" * 129, "é"]
)
def test_an_unsafe_file_name_is_refused(title: str) -> None:
    with BundleWriter("detector", "1.0.0") as writer:
        with pytest.raises(BundleError, match="not allowed in a bundle"):
            writer.add_blob(b"x", DOCUMENT, title)
        with pytest.raises(BundleError, match="not allowed in a bundle"):
            _add(writer, title)


@pytest.mark.parametrize("title", ["variant.json", "golden.npz"])
def test_a_file_cannot_take_a_reserved_name(title: str) -> None:
    with (
        BundleWriter("detector", "1.0.0") as writer,
        pytest.raises(BundleError, match=f"two layers are named {title}"),
    ):
        _add(writer, title)


def test_the_writer_refuses_what_the_reader_would(tmp_path: Path) -> None:
    with BundleWriter("detector", "1.0.0") as writer:
        _add(writer)
        with pytest.raises(BundleError, match="onnx-int8: is in the bundle already"):
            _add(writer)
        with pytest.raises(BundleError, match="written by add_variant"):
            writer.add_blob(b"x", ARTIFACT, "x.bin")
        other = ModelSignature(inputs=SIGNATURE.inputs, outputs=SIGNATURE.inputs)
        with pytest.raises(BundleError, match="differ from onnx-int8's"):
            writer.add_variant(
                target="tflite",
                precision="int8",
                recipe="",
                signature=other,
                files={"m": b""},
                quality=Quality(samples=1),
                tolerance=Tolerance(),
                golden=b"",
            )
    with pytest.raises(DocumentError, match="is no valid name"):
        BundleWriter("../detector", "1.0.0")


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_skopeo_copies_a_bundle_whole(tmp_path: Path) -> None:
    original = open_bundle(write_bundle(tmp_path / "b"))
    copy = tmp_path / "copy"
    subprocess.run(
        [
            *("skopeo", "--insecure-policy", "copy", "--quiet", "--all"),
            *(f"oci:{original.path}:1.0.0", f"oci:{copy}:1.0.0"),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    copied = open_bundle(copy)
    copied.verify()
    assert copied.digest == original.digest
    assert copied.blobs == original.blobs


def _add(writer: BundleWriter, title: str = "model.onnx") -> None:
    writer.add_variant(
        target="onnx",
        precision="int8",
        recipe="made for a test",
        signature=SIGNATURE,
        files={title: b"weights"},
        quality=Quality(samples=4),
        tolerance=Tolerance(),
        golden=write_golden(golden_vectors()),
    )


def test_an_agent_can_use_the_contract_without_loading_numpy() -> None:
    modules = "bundle, envelope, messages, metadata, release, topics, tree, trust"
    check = (
        f"import sys; from edgewright_manifests import {modules}; sys.exit('numpy' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)
