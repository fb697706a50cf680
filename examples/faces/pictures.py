"""Pictures to look for faces in, and boxes drawn on them."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, UnidentifiedImageError

from benchmarks.zoo.pictures import PHOTOS
from examples.faces.detector import Face

_BOX, _POINT = (64, 224, 96), (255, 208, 64)
_PORTRAITS = (17, 33, 45, 60)
"""Four of the hundred faces in scikit-image's lfw_subset."""


class NoPicture(Exception):
    """What was given is no picture; the message names it."""


def open_pictures(paths: Sequence[Path]) -> Iterator[tuple[str, Image.Image]]:
    """Name and picture of each file. Raises NoPicture."""
    for path in paths:
        try:
            with Image.open(path) as picture:
                yield path.stem, picture.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise NoPicture(f"{path}: {error}; give JPEG or PNG files") from error


def public_pictures() -> Iterator[tuple[str, Image.Image]]:
    """Photographs out of scikit-image: faces, and some things that have none.

    Raises PackageUnavailable where they cannot be fetched.
    """
    for file in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"):
        with Image.open(io.BytesIO(PHOTOS.read(f"skimage/data/{file}"))) as picture:
            yield file.partition(".")[0], picture.convert("RGB")
    patches = np.load(io.BytesIO(PHOTOS.read("skimage/data/lfw_subset.npy")))
    sheet = Image.new("RGB", (512, 512), (127, 127, 127))
    for number, index in enumerate(_PORTRAITS):
        face = Image.fromarray(np.uint8(patches[index] * 255)).resize((160, 160))
        sheet.paste(face, (48 + number % 2 * 256, 48 + number // 2 * 256))
    yield "portraits", sheet


def draw(picture: Image.Image, faces: Sequence[Face]) -> Image.Image:
    """A copy with every face framed, its points dotted and its sureness written."""
    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    stroke = max(2, max(picture.size) // 250)
    for face in faces:
        pen.rectangle((face.left, face.top, face.right, face.bottom), outline=_BOX, width=stroke)
        for x, y in face.points:
            pen.ellipse((x - stroke, y - stroke, x + stroke, y + stroke), fill=_POINT)
        pen.text((face.left + stroke, face.top + stroke), f"{face.sureness:.2f}", fill=_BOX)
    return drawn
