"""The examples do what they say, by the commands that the README gives."""

import re
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.faces.detector import SIZE, find_faces, fit, lay_anchors
from examples.voice.activity import WINDOW_S, Segment, segments_of
from examples.voice.sound import ROOMS
from tests.processes import running

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 280


def run(*words: str) -> str:
    """What `python -m WORDS` prints; skips where its packages cannot be fetched."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode and re.search(
        r"^examples\.\w+: (apt-get|npm|\S*python\S*) ", done.stderr, re.M
    ):
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert running("edgewright-faces-") == running("edgewright-voice-") == []
    return done.stdout


def test_the_readme_gives_both_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in (ROOT / "examples").glob("*/__main__.py"):
        if folder.parent.name != "demo":  # which is `make demo`
            assert f"python -m examples.{folder.parent.name} " in readme


@pytest.mark.long
@pytest.mark.parametrize("way", ["eventfd", "socket"])
def test_faces_are_found_where_they_are_and_nowhere_else(tmp_path: Path, way: str) -> None:
    printed = run("examples.faces", "--out", str(tmp_path), "--frames", "20", "--way", way)
    assert f"through the local door, by {way}" in printed
    found = dict(re.findall(r"^(\w+): (\d+) faces?", printed, re.MULTILINE))
    assert found == {
        "astronaut": "1",
        "chelsea": "0",
        "coffee": "0",
        "rocket": "0",
        "portraits": "4",
    }
    (sides,) = re.findall(r"^astronaut.*\n  \d\.\d\d at (.+)$", printed, re.MULTILINE)
    left, top, right, bottom = map(int, sides.split(", "))
    # Measured by eye: her face is 110 pixels wide, around (225, 125).
    assert abs((left + right) / 2 - 225) < 12
    assert abs((top + bottom) / 2 - 125) < 12
    assert 80 < right - left < 130
    assert re.search(r"^\d+\.\d\d ms per frame \(median of 100\)", printed, re.MULTILINE)
    for name in found:
        with Image.open(tmp_path / f"{name}.png") as drawn:
            assert drawn.width > 400


@pytest.mark.long
def test_a_picture_of_ones_own_is_looked_at(tmp_path: Path) -> None:
    mine = tmp_path / "mine.jpg"
    Image.new("RGB", (300, 500), (90, 120, 90)).save(mine)
    printed = run("examples.faces", str(mine), "--out", str(tmp_path / "out"), "--target", "tflite")
    assert re.search(r"^mine: 0 faces", printed, re.MULTILINE)
    assert (tmp_path / "out" / "mine.png").is_file()


def test_what_is_no_picture_is_told_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.faces", str(tmp_path / "nothing.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"examples\.faces: \S*nothing\.png: .*\n", done.stderr)


@pytest.mark.long
@pytest.mark.parametrize("state", ["server", "client"])
def test_speech_is_heard_as_its_authors_hear_it(state: str) -> None:
    printed = run("examples.voice", "--state", state)
    kitchen, hall = printed.split("\nkitchen\n")[1].split("\nhall\n")
    for room, heard in (("kitchen", kitchen), ("hall", hall)):
        names = re.findall(r"^ +\d+\.\d\d to +\d+\.\d\d s  (\S+)$", heard, re.MULTILINE)
        assert tuple(dict.fromkeys(names)) == ROOMS[room]
        share = float(re.findall(r"^(\d+\.\d)% of the windows are as", heard, re.MULTILINE)[0])
        assert share > 85
        assert "100.00% of the decisions equal, segments equal" in heard
        assert re.search(r"^sound   .*▇", heard, re.MULTILINE)
    assert ("--model-settings" in printed) == (state == "server")


@pytest.mark.long
def test_a_recording_of_ones_own_is_listened_to(tmp_path: Path) -> None:
    mine = tmp_path / "mine.wav"
    with wave.open(str(mine), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(bytes(44_100 * 4))
    printed = run("examples.voice", str(mine))
    assert "31 windows of 32 ms" in printed or "32 windows of 32 ms" in printed
    assert " to " not in printed.split("\nmine\n")[1].split("windows")[0]


def test_a_face_on_an_anchor_is_decoded_to_the_pictures_own_pixels() -> None:
    picture = Image.new("RGB", (256, 128))  # twice the square's width: scaled to a half
    square = fit(picture)
    assert (square.scale, square.left, square.top) == (0.5, 0, 32)
    anchors = lay_anchors()
    assert anchors.shape == (896, 2)
    regressors, scores = np.zeros((896, 16), np.float32), np.full(896, -100, np.float32)
    for anchor, surer in ((136 * 2, 3), (137 * 2, 2)):  # neighbours at (8.5, 8.5), (9.5, 8.5)
        regressors[anchor, 2:4] = 40
        scores[anchor] = surer
    (face,) = find_faces(regressors, scores, square, anchors)
    assert face.sureness == pytest.approx(1 / (1 + np.exp(-3)))
    weights = 1 / (1 + np.exp(-np.array([3, 2])))
    middle_x = np.average([8.5 * 8, 9.5 * 8], weights=weights) * 2
    assert face.corners == pytest.approx((middle_x - 40, 32, middle_x + 40, 112))
    assert face.points[:, 0] == pytest.approx(middle_x)
    assert find_faces(regressors, np.full(896, -1, np.float32), square, anchors) == []
    assert square.pixels.shape == (SIZE, SIZE, 3)
    assert square.pixels.min() == square.pixels.max() == -1


def test_speech_lasts_over_short_gaps_and_ends_with_long_ones() -> None:
    def seconds(*windows: tuple[int, int]) -> list[Segment]:
        return [Segment(start * WINDOW_S, end * WINDOW_S) for start, end in windows]

    assert segments_of([]) == []
    assert segments_of([0.9] * 20) == seconds((0, 20))
    assert segments_of([0.1] * 5 + [0.9] * 10 + [0.1] * 2 + [0.9] * 3 + [0.1] * 9) == seconds(
        (5, 20)
    )
    assert segments_of([0.9] * 10 + [0.1] * 8 + [0.9] * 10 + [0.1]) == seconds((0, 10), (18, 28))
    assert segments_of([0.9] * 4 + [0.1] * 20) == []  # a click
    assert segments_of([0.9] * 8 + [0.4] * 20 + [0.1] * 9) == seconds((0, 28))  # not yet quiet
