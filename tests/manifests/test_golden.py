import io
import re
import zipfile
from collections.abc import Callable

import numpy as np
import pytest
from edgewright_manifests.errors import BundleError
from edgewright_manifests.golden import (
    EXACT_SNR_DB,
    GoldenVectors,
    judge,
    read_golden,
    snr_db,
    top1_agreement,
    write_golden,
)
from edgewright_manifests.signature import ModelSignature, TensorSpec
from edgewright_manifests.tensors import NUMPY_DTYPES, Array, datatype_of
from edgewright_manifests.variant import Tolerance
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.manifests.making import SIGNATURE, golden_vectors

SAVEZ: Callable[..., None] = np.savez  # its stub takes no arrays by a computed name


def test_golden_vectors_survive_the_way_there_and_back() -> None:
    golden = golden_vectors()
    back = read_golden(write_golden(golden), SIGNATURE)
    assert back.samples == 4
    np.testing.assert_array_equal(back.inputs["image"], golden.inputs["image"])
    np.testing.assert_array_equal(back.outputs["logits"], golden.outputs["logits"])
    assert back.labels is not None
    np.testing.assert_array_equal(back.labels, golden.labels)
    assert back.sample(2)["image"].shape == (1, 1, 2, 2)


def test_equal_vectors_give_equal_bytes_also_from_a_transposed_view() -> None:
    golden = golden_vectors()
    view = GoldenVectors(
        {"image": np.asfortranarray(golden.inputs["image"])}, golden.outputs, golden.labels
    )
    assert write_golden(golden) == write_golden(golden_vectors()) == write_golden(view)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpys_own_npz_is_read_too(save: Callable[..., None], order: str) -> None:
    golden = golden_vectors()
    image = np.array(golden.inputs["image"], order="F" if order == "F" else "C")
    back = read_golden(_npz(save, image=image), SIGNATURE)
    np.testing.assert_array_equal(back.inputs["image"], golden.inputs["image"])
    assert back.labels is None


def test_numpy_reads_ours() -> None:
    golden = golden_vectors()
    with np.load(io.BytesIO(write_golden(golden)), allow_pickle=False) as archive:
        assert sorted(archive) == ["input.image", "labels", "output.logits"]
        np.testing.assert_array_equal(archive["input.image"], golden.inputs["image"])


@pytest.mark.parametrize("word", sorted(NUMPY_DTYPES))
def test_every_element_type_travels(word: str) -> None:
    dtype = next(known for name, known in NUMPY_DTYPES.items() if name == word)
    spec = next(
        TensorSpec(name="x", datatype=name, shape=(-1, 2)) for name in NUMPY_DTYPES if name == word
    )
    signature = ModelSignature(inputs=(spec,), outputs=(spec,))
    array = np.array([[0, 1], [1, 0]]).astype(dtype)
    back = read_golden(write_golden(GoldenVectors({"x": array}, {"x": array})), signature)
    assert back.inputs["x"].dtype == dtype
    assert datatype_of(dtype) == word
    np.testing.assert_array_equal(back.inputs["x"], array)


def _wrong() -> list[tuple[dict[str, Array], str]]:
    image, logits = golden_vectors().inputs["image"], golden_vectors().outputs["logits"]
    return [
        ({"image": image.astype(np.float64)}, "array input.image is float64"),
        ({"image": image[:, 0]}, "the signature says"),
        ({"image": image[:3]}, "different sample counts"),
        ({"image": image[:0], "logits": logits[:0]}, "0 samples"),
        ({"image": np.full_like(image, np.nan)}, "NaN or infinite"),
        ({"logits": np.full_like(logits, np.inf)}, "NaN or infinite"),
        ({"image": np.array(1.0, np.float32)}, "the signature says"),
        ({"labels": np.array([0, 1, 2, 3], np.int32)}, "array labels is int32"),
        ({"labels": np.array([0, 1, 2], np.int64)}, "different sample counts"),
    ]


@pytest.mark.parametrize(("arrays", "message"), _wrong())
def test_arrays_that_do_not_fit_are_named(arrays: dict[str, Array], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        read_golden(_npz(np.savez, **arrays), SIGNATURE)


def test_missing_and_unknown_arrays_are_named() -> None:
    buffer = io.BytesIO()
    SAVEZ(buffer, **{"input.image": golden_vectors().inputs["image"]})
    with pytest.raises(BundleError, match=r"array output\.logits of the signature is missing"):
        read_golden(buffer.getvalue(), SIGNATURE)
    with pytest.raises(BundleError, match=r"array 'output\.extra' is in no signature"):
        read_golden(_npz(np.savez, extra=np.zeros((4, 1))), SIGNATURE)


def test_objects_are_never_unpickled() -> None:
    buffer = io.BytesIO()
    SAVEZ(
        buffer,
        **{"input.image": np.array([print], object), "output.logits": np.zeros((1, 3), np.float32)},
    )
    with pytest.raises(BundleError, match=r"array input\.image is no \.npy of numbers"):
        read_golden(buffer.getvalue(), SIGNATURE)


def test_a_zip_bomb_is_refused_before_it_unfolds() -> None:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("input.image.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(300):
            member.write(bytes(1024 * 1024))
    assert len(buffer.getvalue()) < 1024 * 1024
    with pytest.raises(BundleError, match="bytes unpacked, at most"):
        read_golden(buffer.getvalue(), SIGNATURE)


def test_a_shape_that_lies_about_the_length_is_refused() -> None:
    data = write_golden(golden_vectors())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for lie in (b"(99999999, 1, 2, 2)", b"(4, 1, 2)"):
        image = members["input.image.npy"].replace(b"(4, 1, 2, 2)", lie)
        with pytest.raises(BundleError, match=r"not as long as its shape says|no \.npy"):
            read_golden(_zip(members | {"input.image.npy": image}), SIGNATURE)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_npz_is_a_bundle_error_or_the_same_vectors(data: st.DataObject) -> None:
    good = write_golden(golden_vectors())
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        bad[data.draw(st.integers(0, len(bad) - 1))] = data.draw(st.integers(0, 255))
    try:
        back = read_golden(bytes(bad), SIGNATURE)
    except BundleError as error:
        assert "\n" not in str(error)
    else:  # zip carries fields that nobody reads; the blob's digest covers those
        assert write_golden(back) == good or back.labels is None


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_any_bytes_as_npz_are_a_bundle_error(data: bytes) -> None:
    with pytest.raises(BundleError):
        read_golden(data, SIGNATURE)


def test_equal_outputs_have_the_snr_of_exactness() -> None:
    golden = golden_vectors()
    assert snr_db(golden.outputs, golden.outputs) == EXACT_SNR_DB
    verdict = judge(golden, golden.outputs, Tolerance(min_snr_db=60.0, min_accuracy=1.0))
    assert verdict.passed
    assert (verdict.snr_db, verdict.top1_agreement, verdict.accuracy) == (EXACT_SNR_DB, 1.0, 1.0)


def test_snr_is_ten_log_ten_of_the_power_ratio() -> None:
    signal = {"y": np.full((2, 5), 10.0)}
    noisy = {"y": np.full((2, 5), 11.0)}
    assert snr_db(signal, noisy) == pytest.approx(20.0)  # 10 log10(100 / 1)
    silent = {"y": np.zeros((2, 5))}
    assert snr_db(silent, noisy) == -EXACT_SNR_DB
    # All outputs together: 10 values of 10^2 and 10 of 0 as signal, 10 * 1^2 as noise.
    assert snr_db(signal | {"z": silent["y"]}, noisy | {"z": silent["y"]}) == pytest.approx(20.0)


def test_snr_of_small_integers_does_not_wrap() -> None:
    low, high = np.full((1, 4), 0, np.uint8), np.full((1, 4), 255, np.uint8)
    assert snr_db({"y": high}, {"y": low}) == pytest.approx(0.0)


def test_top1_looks_at_the_last_axis() -> None:
    one = np.array([[0.1, 0.9], [0.8, 0.2]])
    two = np.array([[0.4, 0.6], [0.1, 0.9]])
    assert top1_agreement(one, two) == 0.5


def test_the_reason_says_what_was_promised() -> None:
    golden = golden_vectors()
    wrong = {"logits": np.roll(golden.outputs["logits"], 1, axis=-1)}
    verdict = judge(golden, wrong, Tolerance(min_accuracy=0.9, min_snr_db=-300.0))
    assert not verdict.passed
    assert verdict.reason == "accuracy 0.00 on 4 golden samples, at least 0.90 promised"
    assert verdict.accuracy == 0.0


def test_only_promised_measures_count() -> None:
    golden = golden_vectors()
    wrong = {"logits": np.roll(golden.outputs["logits"], 1, axis=-1)}
    verdict = judge(golden, wrong, Tolerance())
    assert verdict.passed
    assert verdict.reason == "outputs are finite, and no tolerance is promised"


def _unusable() -> list[tuple[dict[str, Array], str]]:
    logits = golden_vectors().outputs["logits"]
    nan = logits.copy()
    nan[1, 2] = np.nan
    return [
        ({}, "output 'logits' is missing"),
        ({"logits": logits[:2]}, r"has shape \[2, 3\], expected \[4, 3\]"),
        ({"logits": nan}, "NaN or infinite for 1 of 4 samples"),
        ({"logits": np.full_like(logits, -np.inf)}, "NaN or infinite for 4 of 4 samples"),
    ]


@pytest.mark.parametrize(("outputs", "message"), _unusable())
def test_unusable_outputs_fail_whatever_was_promised(
    outputs: dict[str, Array], message: str
) -> None:
    verdict = judge(golden_vectors(), outputs, Tolerance())
    assert not verdict.passed
    assert re.search(message, verdict.reason)


def test_a_promise_that_the_vectors_cannot_show_is_not_kept() -> None:
    golden = golden_vectors()
    unlabelled = GoldenVectors(golden.inputs, golden.outputs)
    verdict = judge(unlabelled, golden.outputs, Tolerance(min_accuracy=0.5))
    assert not verdict.passed
    assert "cannot show it" in verdict.reason


def _npz(save: Callable[..., None], **arrays: Array) -> bytes:
    golden = golden_vectors()
    image = arrays.pop("image", golden.inputs["image"])
    logits = arrays.pop("logits", golden.outputs["logits"])
    labels = {"labels": arrays.pop("labels")} if "labels" in arrays else {}
    others = {f"output.{name}": array for name, array in arrays.items()}
    buffer = io.BytesIO()
    save(buffer, **{"input.image": image, "output.logits": logits}, **labels, **others)
    return buffer.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
