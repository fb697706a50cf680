from pathlib import Path

import msgspec
import pytest
from edgewright_manifests import documents
from edgewright_manifests.device_profile import DeviceProfile, load_profile, select_variant
from edgewright_manifests.digest import digest_of, digest_of_file, is_digest
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import DocumentError
from edgewright_manifests.messages import Desired, VersionReport
from edgewright_manifests.topics import DeviceTopics, all_upward, check_name, parse_upward
from edgewright_manifests.variant import Constraints, Variant
from hypothesis import given
from hypothesis import strategies as st

from tests.manifests.making import SIGNATURE


class _Inner(Document, frozen=True):
    level: str = "info"


class _Settings(Document, frozen=True):
    state_dir: str
    threads: int = 1
    log: _Inner = _Inner()


def test_equal_documents_have_equal_bytes_and_come_back() -> None:
    desired = Desired(generation=3, director_timestamp=digest_of(b"x"))
    data = documents.encode(desired)
    assert documents.decode(data, Desired, source="x") == desired
    assert data.startswith(b'{"generation":3,')


@given(st.binary(max_size=200))
def test_any_bytes_as_a_document_are_a_document_error(data: bytes) -> None:
    with pytest.raises(DocumentError, match="somewhere: is no valid VersionReport"):
        documents.decode(data, VersionReport, source="somewhere")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('state_dir = "x"\nthread = 2', "did you mean `threads`?"),
        ('state_dir = "x"\n[log]\nlevle = "x"', "did you mean `level`?"),
        ('state_dir = "x"\nqqq = 2', "known keys: log, state_dir, threads"),
        ("state_dir = 7", "Expected `str`, got `int`"),
        ("", "missing required field `state_dir`"),
        ("state_dir = ", "is no valid TOML"),
    ],
)
def test_a_wrong_toml_says_what_and_where(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "runtime.toml"
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        documents.read_toml(path, _Settings)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="none: cannot be read: No such file"):
        documents.read_json(tmp_path / "none", Desired)


def test_writing_atomically_replaces_and_leaves_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    documents.write_atomically(path, b"one")
    documents.write_atomically(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["file"]
    blocked = tmp_path / "folder"
    blocked.mkdir()
    (blocked / "x").touch()
    with pytest.raises(OSError, match="directory"):
        documents.write_atomically(blocked, b"three")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["deep", "folder"]


def test_digests_of_bytes_and_files_agree(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert digest_of(b"abc") == digest_of_file(tmp_path / "f")
    assert digest_of(b"abc").startswith("sha256:ba7816bf8f01cfea")
    assert is_digest(digest_of(b""))
    for wrong in (
        "",
        "sha256:",
        "sha256:" + "A" * 64,
        "sha512:" + "a" * 64,
        "a" * 64,
        digest_of(b"") + "\n",
    ):
        assert not is_digest(wrong)


def test_topics_are_built_and_parsed_alike() -> None:
    topics = DeviceTopics("acme", "cam-1")
    assert topics.desired == "ew/1/acme/d/cam-1/down/desired"
    for topic in (topics.reported, topics.event, topics.telemetry, topics.online):
        parsed = parse_upward(topic)
        assert (parsed.tenant, parsed.device) == ("acme", "cam-1")
        assert topic.endswith(f"/up/{parsed.channel}")
    assert all_upward("fleet") == "$share/fleet/ew/1/+/d/+/up/#"
    for wrong in (
        topics.desired,
        "",
        "ew/2/acme/d/cam-1/up/event",
        topics.event + "/x",
        "ew/1//d/+/up/event",
    ):
        with pytest.raises(DocumentError, match="is no topic"):
            parse_upward(wrong)


@pytest.mark.parametrize("name", ["", "a/b", "+", "#", "-a", "a b", "x" * 64, "é", "..", "a\n"])
def test_a_name_that_could_break_a_topic_or_path_is_refused(name: str) -> None:
    with pytest.raises(DocumentError, match="use 1 to 63 letters"):
        check_name("device", name)


def test_every_shipped_profile_loads_and_unknown_ones_list_them(tmp_path: Path) -> None:
    for name in ("generic", "jetson-orin-nano", "raspberry-pi-5", "x86-gateway"):
        assert load_profile(name).name == name
    with pytest.raises(DocumentError, match="profiles that ship: generic, jetson"):
        load_profile("toaster")
    own = tmp_path / "own.toml"
    own.write_text('name = "own"\ndescription = ""\nhardware_id = "h"\narchitecture = "any"\n')
    with pytest.raises(DocumentError, match="missing required field `targets`"):
        load_profile(str(own))


def test_a_profile_gets_its_preferred_variant_that_fits() -> None:
    pi = load_profile("raspberry-pi-5")
    onnx, tflite = _variant("onnx"), _variant("tflite")
    assert select_variant(pi, [onnx, tflite]) is tflite
    x86_only = _variant("tflite", Constraints(architectures=("x86_64",)))
    assert select_variant(pi, [onnx, x86_only]) is onnx
    assert select_variant(pi, [_variant("openvino")]) is None
    small = DeviceProfile(
        name="s",
        description="",
        hardware_id="s",
        architecture="any",
        targets=("onnx",),
        memory_bytes=1000,
    )
    assert select_variant(small, [_variant("onnx", Constraints(min_memory_bytes=2000))]) is None


def _variant(target: str, constraints: Constraints | None = None) -> Variant:
    return documents.decode(
        msgspec.json.encode(
            {
                "model": "m",
                "version": "1",
                "target": target,
                "precision": "int8",
                "recipe": "",
                "signature": SIGNATURE,
                "files": [],
                "quality": {"samples": 0},
                "tolerance": {},
                "constraints": constraints or {},
            }
        ),
        Variant,
        source="test",
    )
