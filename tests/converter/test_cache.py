"""The second run takes what the first one made, and never anything that is not it."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from edgewright_converter.cache import Key, Store
from edgewright_converter.workshop import may_be_chance
from edgewright_manifests.bundle import open_bundle
from edgewright_manifests.cli import main

from tests.converter.command import Convert
from tests.converter.conftest import FASHION, MAIN
from tests.converter.networks import classifier, images, save_samples

TIMED = {"report.json", "report.html", "measurements.json", "model_card.md"}


def lasting(bundle: Path) -> dict[tuple[str, str], str]:
    """Digests of all layers without times."""
    return {
        (entry.variant.id, layer.title): layer.digest
        for entry in open_bundle(bundle).entries
        for layer in entry.layers
        if layer.title not in TIMED
    }


class Command:
    """The command in a process of its own, with a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "m.bundle"
        self.samples = folder / "s.npz"
        self.cache = folder / "cache"

    def words(self, out: Path, *options: str) -> list[str]:
        words = [sys.executable, "-c", MAIN, "convert", str(self.folder / "m.onnx")]
        words += ["--target", "tflite", "--calibration", str(self.samples)]
        return [*words, "--out", str(out), *options]

    def __call__(self, *options: str) -> str:
        means = options if "--no-cache" in options else ("--cache-dir", str(self.cache), *options)
        words = self.words(self.out, "--force", *means)
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    @property
    def entries(self) -> list[Path]:
        return sorted(self.cache.rglob("*.crate"))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The first run of all."""
    command = Command(tmp_path_factory.mktemp("first"))
    classifier(command.folder / "m.onnx")
    save_samples(command.samples, x=images(32))
    assert "(from the cache)" not in command()
    assert len(command.entries) >= 5
    return command


@pytest.fixture
def command(first: Command, tmp_path: Path) -> Command:
    """What stands after a first run; a test may spoil it."""
    shutil.copytree(first.folder, tmp_path / "copy")
    return Command(tmp_path / "copy")


def test_a_second_run_with_another_gate_makes_nothing_again(
    command: Command, first: Command
) -> None:
    said = command("--min-agreement", "0.5").splitlines()
    made = [line for line in said if "      tflite: " in line and "latency of" not in line]
    assert len(made) >= 4
    assert [line for line in made if not line.endswith("(from the cache)")] == []
    assert [line for line in said if "latency of" in line]
    assert lasting(command.out) == lasting(first.out)


def test_damaged_entries_are_made_again(command: Command, first: Command) -> None:
    chance = random.Random(3)
    for entry in command.entries:
        content = bytearray(entry.read_bytes())
        content[chance.randrange(len(content))] ^= 4
        entry.write_bytes(content[: len(content) - chance.randrange(2)])
    assert "(from the cache)" not in command()
    assert lasting(command.out) == lasting(first.out)
    assert "(from the cache)" in command()


def test_other_samples_find_nothing_of_a_recipe_or_an_output(command: Command) -> None:
    save_samples(command.samples, x=images(32, seed=4))
    assert "(from the cache)" not in command()


@pytest.mark.parametrize(
    ("reason", "chance"),
    [
        ("MemoryError: Unable to allocate 2 GiB", True),
        ("RuntimeError: std::bad_alloc", True),
        ("OSError: No space left on device", True),
        ("TimeoutError: timed out", True),
        ("RuntimeError: onnxruntime knows no kernel in this namespace", False),
        ("the model has no large weights", False),
    ],
)
def test_a_failure_is_remembered_unless_this_machine_ran_out(reason: str, chance: bool) -> None:
    assert may_be_chance(reason) == chance


def test_without_a_cache_nothing_is_found_and_the_bytes_are_the_same(
    command: Command, first: Command
) -> None:
    assert "(from the cache)" not in command("--no-cache")
    assert lasting(command.out) == lasting(first.out)


def test_one_at_a_time_or_four_make_the_same_bytes(command: Command, first: Command) -> None:
    """Every candidate with its outputs, not only the one that ships."""
    for jobs in ("1", "4"):
        shutil.rmtree(command.cache)
        command("--jobs", jobs)
        made = sorted(path.read_bytes() for path in command.entries)
        assert made == sorted(path.read_bytes() for path in first.entries)


@pytest.mark.long
def test_all_candidates_of_all_targets_are_the_same_bytes_however_many_at_once(
    tmp_path: Path,
) -> None:
    found = []
    for jobs in ("1", "3"):
        words = [sys.executable, "-c", MAIN, "convert", str(FASHION / "models" / "v1.onnx")]
        words += ["--calibration", str(FASHION / "data" / "calibration.npz"), "--jobs", jobs]
        words += ["--out", str(tmp_path / f"{jobs}.bundle"), "--cache-dir", str(tmp_path / jobs)]
        subprocess.run(words, check=True, capture_output=True)
        found.append(sorted(path.read_bytes() for path in (tmp_path / jobs).rglob("*.crate")))
    assert len(found[0]) > 20
    assert found[0] == found[1]


def test_two_conversions_at_once_share_one_cache(command: Command, tmp_path: Path) -> None:
    shutil.rmtree(command.cache)
    outs = [tmp_path / f"{number}.bundle" for number in range(2)]
    running = [
        subprocess.Popen(
            command.words(out, "--cache-dir", str(command.cache)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for out in outs
    ]
    assert [child.wait(timeout=120) for child in running] == [0, 0]
    assert lasting(outs[0]) == lasting(outs[1])
    assert list(command.cache.rglob(".new-*")) == []


def test_a_cache_that_cannot_be_written_is_said(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    model = classifier(tmp_path / "m.onnx")
    line = convert.must_refuse(model, "--cache-dir", tmp_path / "file", "--target", "onnx")
    assert "the cache cannot be written" in line
    assert "--no-cache" in line


def filled(folder: Path, *, bound_bytes: int, sizes: list[int]) -> tuple[Store, list[Key]]:
    store, keys = Store(folder / "cache", bound_bytes), []
    for number, size in enumerate(sizes):
        keys.append(Key((str(number),)))
        crate = folder / f"{number}.crate"
        crate.write_bytes(bytes(size))
        store.keep(keys[-1], crate)
        moment = time.time() - 1000 + number
        if (entry := folder / "cache" / "v1" / f"{keys[-1].name}.crate").exists():
            os.utime(entry, (moment, moment))
    return store, keys


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store, keys = filled(tmp_path, bound_bytes=1000, sizes=[240, 240, 240, 240])
    assert store.fetch(keys[0], tmp_path / "used")  # now the newest
    (tmp_path / "more.crate").write_bytes(bytes(240))
    store.keep(Key(("more",)), tmp_path / "more.crate")
    held = [store.fetch(key, tmp_path / f"again-{i}") for i, key in enumerate(keys)]
    assert held == [True, False, True, True]
    assert store.facts().size_bytes <= 1000


def test_an_entry_that_would_drive_out_all_others_is_not_kept(tmp_path: Path) -> None:
    store, keys = filled(tmp_path, bound_bytes=1000, sizes=[200, 600])
    assert store.fetch(keys[0], tmp_path / "a")
    assert not store.fetch(keys[1], tmp_path / "b")


def test_what_a_killed_run_left_is_swept_up_a_day_later(tmp_path: Path) -> None:
    store, _ = filled(tmp_path, bound_bytes=10_000, sizes=[10])
    old, young = (tmp_path / "cache" / "v1" / f".new-{word}" for word in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
        (folder / "half.crate").write_bytes(b"half")
    os.utime(old, (time.time() - 100_000, time.time() - 100_000))
    (tmp_path / "more.crate").write_bytes(b"more")
    store.keep(Key(("more",)), tmp_path / "more.crate")
    assert not old.exists()
    assert young.exists()


def test_keys_differ_wherever_their_parts_do() -> None:
    assert Key(("ab", "c")).name != Key(("a", "bc")).name
    assert Key(("a",)).with_parts("b").name == Key(("a", "b")).name


def test_the_cache_is_shown_and_cleared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path, bound_bytes=10_000, sizes=[10, 20])
    where = ["--cache-dir", str(tmp_path / "cache"), "--json"]
    assert main(["cache", "show", *where]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 2
    assert main(["cache", "clear", *where]) == 0
    assert json.loads(capsys.readouterr().out)["size_bytes"] == 30
    assert main(["cache", "show", "--cache-dir", str(tmp_path / "cache")]) == 0
    assert "holds 0 entries, 0.0 MB" in capsys.readouterr().out
    assert main(["cache"]) == 2
