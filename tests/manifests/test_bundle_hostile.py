"""A bundle from a stranger: whatever was done to it, BundleError with one line."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from edgewright_manifests.bundle import open_bundle, parse_manifest
from edgewright_manifests.bundle.oci import MAX_DOCUMENT_BYTES
from edgewright_manifests.digest import digest_of
from edgewright_manifests.errors import BundleError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.manifests.making import write_bundle


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("pristine") / "b", targets=("onnx",))


@pytest.fixture
def bundle(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "b"))


def test_a_flipped_bit_in_any_file_is_found(pristine: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(pristine, tmp_path / "b"))
    checked = 0
    for path in sorted(p for p in copy.rglob("*") if p.is_file()):
        data = path.read_bytes()
        small = path.parent == copy  # every bit of index.json and oci-layout; else one in 13
        for bit in range(0, len(data) * 8, 1 if small else 13):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << (bit % 8)
            path.write_bytes(flipped)
            _assert_refused(copy)
            checked += 1
        path.write_bytes(data)
    open_bundle(copy).verify()
    assert checked > 2000


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_random_damage_anywhere_is_a_bundle_error(pristine: Path, data: st.DataObject) -> None:
    copy = Path(shutil.copytree(pristine, pristine.parent / "damaged", dirs_exist_ok=True))
    try:
        files = sorted(p for p in copy.rglob("*") if p.is_file())
        path = data.draw(st.sampled_from(files))
        original = path.read_bytes()
        start = data.draw(st.integers(0, len(original) - 1))
        end = data.draw(st.integers(start, len(original)))
        damaged = original[:start] + data.draw(st.binary(max_size=20)) + original[end:]
        if damaged != original and not _same_json(damaged, original):
            path.write_bytes(damaged)
            _assert_refused(copy)
    finally:
        shutil.rmtree(copy)


def _same_json(damaged: bytes, original: bytes) -> bool:
    """White space between tokens is no damage where no digest stands for the bytes (index.json)."""
    try:
        return bool(json.loads(damaged) == json.loads(original))
    except ValueError:
        return False


@given(
    st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda item: (
            st.lists(item, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["schemaVersion", "mediaType", "config", "layers", "annotations", "x"]
                ),
                item,
                max_size=5,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_as_a_manifest_are_a_bundle_error(data: bytes) -> None:
    with pytest.raises(BundleError) as caught:
        parse_manifest(data)
    assert "\n" not in str(caught.value)


def _manifest(pristine: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(open_bundle(pristine).entries[0].manifest_bytes)
    return found


@pytest.mark.parametrize("title", ["../x", "/abs", "a/b", "..", ""])
def test_a_manifest_whose_file_name_is_a_path_is_refused(pristine: Path, title: str) -> None:
    manifest = _manifest(pristine)
    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = title
    with pytest.raises(BundleError, match="not allowed in a bundle"):
        parse_manifest(json.dumps(manifest).encode())


_Edit = Callable[[dict[str, Any]], object]
_EDITS: list[tuple[_Edit, str]] = [
    (lambda m: m["layers"].append(m["layers"][0]), "two layers are named"),
    (lambda m: m["layers"].pop(0), "it has no artifact"),
    (lambda m: m["layers"].pop(1), r"exactly one variant\.json"),
    (lambda m: m["layers"].pop(2), r"exactly one golden\.npz"),
    (lambda m: m["layers"][0].update(annotations={}), "must have a title"),
    (lambda m: m["layers"][0].update(size=-1), ">= 0"),
    (lambda m: m["layers"][0].update(digest="sha256:../../x"), "matching regex"),
    (lambda m: m["layers"][0].update(urls=["http://elsewhere"]), "unknown field `urls`"),
    (lambda m: m["config"].update(mediaType="x"), "no ModelPack config"),
    (lambda m: m.update(annotations={}), "its annotations must be"),
    (lambda m: m.update(schemaVersion=1), "Invalid enum value 1"),
    (lambda m: m.update(subject=None), "unknown field `subject`"),
]


@pytest.mark.parametrize(("edit", "message"), _EDITS)
def test_a_manifest_is_parsed_strictly(pristine: Path, edit: _Edit, message: str) -> None:
    manifest = _manifest(pristine)
    edit(manifest)
    with pytest.raises(BundleError, match=message):
        parse_manifest(json.dumps(manifest).encode())


def test_a_deeply_nested_document_is_refused() -> None:
    with pytest.raises(BundleError, match="is no valid OciManifest"):
        parse_manifest(b"[" * 500_000)


def test_a_document_beyond_the_limit_is_refused(bundle: Path) -> None:
    with pytest.raises(BundleError, match=f"at most {MAX_DOCUMENT_BYTES} allowed"):
        parse_manifest(b" " * (MAX_DOCUMENT_BYTES + 1))
    with (bundle / "index.json").open("ab") as file:
        file.truncate(MAX_DOCUMENT_BYTES + 1)
    with pytest.raises(BundleError, match=f"at most {MAX_DOCUMENT_BYTES} allowed"):
        open_bundle(bundle)


def test_symbolic_links_are_refused(bundle: Path, tmp_path: Path) -> None:
    for path in [bundle / "index.json", *sorted((bundle / "blobs" / "sha256").iterdir())]:
        kept = tmp_path / "kept"
        path.rename(kept)
        path.symlink_to(kept)
        _assert_refused(bundle)
        path.unlink()
        kept.rename(path)
    open_bundle(bundle).verify()
    shutil.move(bundle / "blobs", tmp_path / "blobs")
    (bundle / "blobs").symlink_to(tmp_path / "blobs")
    with pytest.raises(BundleError, match="does not belong"):
        open_bundle(bundle).verify()


def test_a_fifo_in_place_of_a_blob_does_not_block(bundle: Path) -> None:
    blob = next((bundle / "blobs" / "sha256").iterdir())
    blob.unlink()
    os.mkfifo(blob)
    _assert_refused(bundle)


def test_a_missing_blob_and_a_stray_file_are_named(bundle: Path) -> None:
    stray = bundle / "blobs" / "sha256" / "notes.txt"
    stray.write_text("x")
    with pytest.raises(BundleError, match=r"notes\.txt: does not belong"):
        open_bundle(bundle).verify()
    stray.unlink()
    (bundle / "empty").mkdir()
    with pytest.raises(BundleError, match="empty: does not belong"):
        open_bundle(bundle).verify()
    (bundle / "empty").rmdir()
    artifact = open_bundle(bundle).entries[0].variant.files[0].digest.removeprefix("sha256:")
    (bundle / "blobs" / "sha256" / artifact).unlink()
    with pytest.raises(BundleError, match=f"{artifact}: cannot be read"):
        open_bundle(bundle)


def test_a_tag_that_is_not_the_version_is_refused(bundle: Path) -> None:
    index = (bundle / "index.json").read_text()
    (bundle / "index.json").write_text(index.replace('"1.0.0"', '"1.0.1"'))
    with pytest.raises(BundleError, match=r"copy it under the tag 1\.0\.0"):
        open_bundle(bundle)


def test_variants_must_be_what_the_index_says(bundle: Path) -> None:
    """An index rewritten with right digests but a lie about its variant is still refused."""
    top = json.loads((bundle / "index.json").read_text())
    old = bundle / "blobs" / "sha256" / top["manifests"][0]["digest"].removeprefix("sha256:")
    forged = old.read_bytes().replace(
        b'"vnd.edgewright.target":"onnx"', b'"vnd.edgewright.target":"tflite"'
    )
    old.unlink()
    digest = digest_of(forged)
    (old.parent / digest.removeprefix("sha256:")).write_bytes(forged)
    top["manifests"][0] |= {"digest": digest, "size": len(forged)}
    (bundle / "index.json").write_text(json.dumps(top))
    with pytest.raises(BundleError, match="describes variant onnx-int8 wrongly"):
        open_bundle(bundle)


def test_what_is_no_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is no bundle"):
        open_bundle(tmp_path / "nothing")
    with pytest.raises(BundleError, match="oci-layout: cannot be read"):
        open_bundle(tmp_path)


def _assert_refused(path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        open_bundle(path).verify()
    assert "\n" not in str(caught.value)
