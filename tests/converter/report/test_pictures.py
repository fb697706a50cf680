"""Pictures, waveforms and what models look at, as the report shows them."""

import base64
import io

import numpy as np
import pytest
from edgewright_converter.measure.saliency import fit_parts, saliency_maps
from edgewright_converter.measure.view import View, find_view
from edgewright_converter.report.pictures import MAX_SIDE, heat_uri, picture_uri, wave_svg
from edgewright_converter.report.png import encode_png
from edgewright_converter.samples import Samples, Tensor
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image


def read_uri(uri: str) -> Image.Image:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 4]), st.integers(0, 99))
def test_a_png_is_read_back_by_another_reader(
    height: int, width: int, channels: int, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    back = np.asarray(Image.open(io.BytesIO(encode_png(pixels))))
    np.testing.assert_array_equal(back.reshape(pixels.shape), pixels)


@pytest.mark.parametrize(
    ("shape", "kind", "channels"),
    [
        ((2, 3, 32, 40), "picture", 1),
        ((2, 32, 40, 3), "picture", 3),
        ((2, 76, 32, 1), "picture", 3),
        ((2, 28, 28), "picture", None),
        ((2, 16000), "sound", None),
        ((2, 1, 16000), "sound", None),
        ((2, 16000, 1), "sound", None),
    ],
)
def test_inputs_that_can_be_looked_at_are_found_by_their_shape(
    shape: tuple[int, ...], kind: str, channels: int | None
) -> None:
    view = find_view({"x": np.zeros(shape, np.float32)})
    assert view is not None
    assert (view.kind, view.channels) == (kind, channels)
    sample = np.random.default_rng(1).random(shape[1:]).astype(np.float32)
    np.testing.assert_array_equal(view.shaped(view.flat(sample), sample), sample)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((2, 2048), np.int32),  # bytes of a file: their values are no loudness
        np.zeros((2, 40), np.float32),
        np.zeros((2, 16, 96, 7), np.float32),
        np.zeros((2, 4, 4), np.float32),
    ],
)
def test_inputs_that_show_nothing_are_not_shown(value: Tensor) -> None:
    assert find_view({"x": value}) is None


def test_bytes_are_shown_as_they_are_and_numbers_from_least_to_greatest() -> None:
    view = View("x", "picture", 1)
    photo = np.random.default_rng(1).integers(0, 256, (3, 20, 30), np.uint8)
    uri, width, height = picture_uri(view, photo)
    assert (width, height) == (30, 20)
    np.testing.assert_array_equal(np.asarray(read_uri(uri)), photo.transpose(1, 2, 0))
    shown = np.asarray(read_uri(picture_uri(view, photo[:1].astype(np.float32) / 40 - 3)[0]))
    assert (shown.min(), shown.max()) == (0, 255)
    _, width, height = picture_uri(view, np.zeros((3, 600, 900), np.float32))
    assert max(width, height) <= MAX_SIDE


def test_heat_is_warm_where_it_supports_and_cold_where_it_opposes() -> None:
    pixels = np.asarray(read_uri(heat_uri(np.array([[1.0, 0.5], [-1.0, 0.0]], np.float32), 1.0)))
    assert pixels[0, 0, 0] > pixels[0, 0, 2]
    assert pixels[1, 0, 2] > pixels[1, 0, 0]
    assert pixels[0, 0, 3] > pixels[0, 1, 3] > pixels[1, 1, 3] == 0


def test_a_waveform_is_an_envelope_over_its_heat() -> None:
    sound = np.sin(np.arange(4000) / 9).astype(np.float32)
    heat = np.array([[0.0, 1.0, -1.0, 0.5]], np.float32)
    svg = wave_svg(sound, heat, 1.0)
    assert svg.count("<rect") == 4
    assert svg.count("<polygon") == 1
    assert "<rect" not in wave_svg(sound, None, 0)


class Corner:
    """Answers class 0 by the upper left quarter of a picture, class 1 by the lower right."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, inputs: object) -> dict[str, Tensor]:
        self.runs += 1
        assert isinstance(inputs, dict)
        image = inputs["x"][0, 0]
        found = [image[:4, :4].sum(), image[4:, 4:].sum()]
        return {"y": np.array([found], np.float32)}


def test_occlusion_finds_the_part_that_decides() -> None:
    image = np.zeros((1, 1, 8, 8), np.float32)
    image[0, 0, :4, :4] = image[0, 0, 4:, 4:] = 1
    samples = Samples({"x": image}, None, "here")
    view = find_view(samples.inputs)
    assert view is not None
    model = Corner()
    (found,) = saliency_maps(model, samples, view, (0,), (0,), 2).maps
    assert model.runs == 1 + 4
    assert found[0, 0] == pytest.approx(16 - 16 * 0.5)  # covered with the mean of the picture
    assert np.abs(np.delete(found.ravel(), 0)).max() == 0
    (every,) = saliency_maps(model, samples, view, (0,), (-1,), 2).maps
    assert every[0, 0] == every[1, 1] > every[0, 1] == 0


def test_a_model_that_is_too_slow_is_not_asked() -> None:
    samples = Samples({"x": np.zeros((1, 1, 8, 8), np.float32)}, None, "here")
    view = find_view(samples.inputs)
    assert view is not None
    assert fit_parts(Corner(), samples, view, 3, budget_s=60.0) == 8
    assert fit_parts(Corner(), samples, view, 3, budget_s=0.0) == 0
