import msgspec
import pytest
from edgewright_manifests.custom import read_custom, write_custom
from edgewright_manifests.errors import TrustError
from edgewright_manifests.messages import Installed
from edgewright_manifests.release import DirectorCustom, ImageCustom, ProbationPolicy
from edgewright_manifests.trust import TargetInfo, match_assignment

from tests.manifests.fleet_keys import PATH
from tests.manifests.making import director_custom, image_custom

HASHES = {"sha256": "cd" * 32}
IMAGE = TargetInfo(PATH, 1000, HASHES, image_custom(counter=5))
DIRECTOR = TargetInfo(PATH, 1000, HASHES, director_custom(image_custom(counter=5)))


def _match(
    director: TargetInfo[DirectorCustom] = DIRECTOR,
    image: TargetInfo[ImageCustom] | None = IMAGE,
    installed: Installed | None = None,
    device: str = "cam-1",
    hardware_id: str = "generic",
) -> Installed:
    return match_assignment(
        director, image, device=device, hardware_id=hardware_id, installed=installed
    ).installed


def _installed(counter: int, model: str = "detector") -> Installed:
    return Installed(
        model=model,
        version="0.9.0",
        variant="onnx-int8",
        manifest="sha256:" + "ee" * 32,
        release_counter=counter,
    )


def test_what_both_repositories_agree_on_may_be_installed() -> None:
    assert _match() == Installed(
        model="detector",
        version="1.0.0",
        variant="onnx-int8",
        manifest="sha256:" + "cd" * 32,
        release_counter=5,
    )


def _refusals() -> list[tuple[TargetInfo[DirectorCustom], TargetInfo[ImageCustom] | None, str]]:
    other = msgspec.structs.replace
    custom = DIRECTOR.custom
    return [
        (DIRECTOR, None, "the image repository does not list it; publish"),
        (DIRECTOR, IMAGE._replace(path="x"), "the image repository does not list it"),
        (
            DIRECTOR._replace(length=999),
            IMAGE,
            "the director says 999 bytes, the image repository 1000",
        ),
        (
            DIRECTOR._replace(hashes={"sha256": "ef" * 32}),
            IMAGE,
            "the director says SHA-256 efef",
        ),
        (DIRECTOR._replace(hashes={"sha512": "aa"}), IMAGE, "gives no SHA-256"),
        (
            DIRECTOR._replace(hashes={"sha256": "zz"}),
            IMAGE._replace(hashes={"sha256": "zz"}),
            "gives no SHA-256",
        ),
        (
            DIRECTOR._replace(custom=other(custom, device="cam-2")),
            IMAGE,
            "assigned to device 'cam-2', this is 'cam-1'",
        ),
        (
            DIRECTOR._replace(custom=other(custom, hardware_id="jetson")),
            IMAGE,
            "assigned for hardware 'jetson', this is 'generic'",
        ),
        (
            DIRECTOR,
            IMAGE._replace(custom=other(IMAGE.custom, hardware_ids=("jetson", "pi"))),
            "the release is for hardware jetson, pi, this is 'generic'",
        ),
        (
            DIRECTOR._replace(custom=director_custom(image_custom(counter=6))),
            IMAGE,
            "the director says release_counter 6, the image repository 5",
        ),
        (
            DIRECTOR._replace(path="detector/2/onnx-int8.json"),
            IMAGE._replace(path="detector/2/onnx-int8.json"),
            r"its custom describes detector/1\.0\.0/onnx-int8",
        ),
    ]


@pytest.mark.parametrize(("director", "image", "message"), _refusals())
def test_each_broken_rule_says_which_it_is(
    director: TargetInfo[DirectorCustom], image: TargetInfo[ImageCustom] | None, message: str
) -> None:
    with pytest.raises(TrustError, match=message) as caught:
        _match(director, image)
    assert "nothing was installed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hardware_that_the_release_names_is_enough() -> None:
    image = msgspec.structs.replace(IMAGE.custom, hardware_ids=("generic",))
    director = msgspec.structs.replace(DIRECTOR.custom, image=image)
    assert _match(DIRECTOR._replace(custom=director), IMAGE._replace(custom=image))


def test_an_older_release_needs_to_be_a_rollback() -> None:
    with pytest.raises(TrustError, match=r"counter 5 is lower than the installed 0\.9\.0's 6"):
        _match(installed=_installed(6))
    custom = msgspec.structs.replace(DIRECTOR.custom, rollback=True)
    assert _match(DIRECTOR._replace(custom=custom), installed=_installed(6))


def test_the_same_newer_or_another_model_needs_no_rollback() -> None:
    assert _match(installed=_installed(5))
    assert _match(installed=_installed(4))
    assert _match(installed=_installed(99, model="other"))


def test_a_custom_survives_canonical_json() -> None:
    custom = msgspec.structs.replace(
        DIRECTOR.custom, probation=ProbationPolicy(duration_s=0.5, max_error_rate=1e-07)
    )
    table = write_custom(custom)
    assert table["probation"]["max_error_rate"] == "1e-07"
    assert read_custom(table, DirectorCustom, PATH) == custom


@pytest.mark.parametrize(
    "custom", [None, {}, [], "x", {"kind": "model"}, write_custom(image_custom()) | {"extra": 1}]
)
def test_a_custom_that_is_not_ours_is_refused(custom: object) -> None:
    with pytest.raises(TrustError, match=f"{PATH}: its custom is no ImageCustom"):
        read_custom(custom, ImageCustom, PATH)
