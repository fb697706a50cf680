import json
from pathlib import Path

import pytest
from edgewright_manifests.cli import main


def _run(*words: object) -> int:
    return main(["keys", *map(str, words)])


@pytest.fixture
def keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = tmp_path / "keys"
    assert _run("init", "--dir", folder) == 0
    capsys.readouterr()
    return folder


def test_init_says_which_keys_go_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("init", "--dir", tmp_path / "k", "--root-keys", 5, "--root-threshold", 3) == 0
    told = capsys.readouterr().out
    assert "keep them off the server" in told
    assert len(list((tmp_path / "k" / "offline").glob("root-*.pem"))) == 5


def test_show_prints_roles_thresholds_and_expiry(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("show", "--dir", keys) == 0
    told = capsys.readouterr().out
    assert "image root version 1, expires " in told
    assert "root       2 of 3: " in told
    (keys / "offline" / "root-2.pem").unlink()
    assert _run("show", "--dir", keys, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    root = document["director"]["roles"]["root"]
    assert (root["threshold"], len(root["keys"]), len(root["held"])) == (2, 3, 2)


def test_rotate_and_sign_end_in_a_root_in_force(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("rotate", "targets", "--dir", keys) == 0
    told = capsys.readouterr().out
    assert "image.2.root.json: in force" in told
    assert "the next `edgewright fleet publish` signs with the new targets key" in told
    for name in ("root-2", "root-3"):
        (keys / "offline" / f"{name}.pem").rename(tmp_path / f"{name}.pem")
    assert _run("rotate", "director", "--dir", keys, "--json") == 0
    [root] = json.loads(capsys.readouterr().out)["roots"]
    assert root["missing"] == 1
    assert _run("sign", root["path"], "--key", tmp_path / "root-2.pem", "--dir", keys) == 0
    assert "director.2.root.json: in force" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["init", "--dir", "keys"], "exists already; its keys are not overwritten"),
        (["show", "--dir", "none"], "make keys with `edgewright keys init`"),
        (["rotate", "root", "--dir", "none"], "has no image.1.root.json; make keys"),
        (
            ["sign", "keys/public/image.root.json", "--key", "keys/online/timestamp.pem"],
            "is no root key for image.root.json; bring the right key",
        ),
        (["sign", "none.json", "--key", "keys/offline/root-1.pem"], "cannot be read"),
        (["sign", "keys/public/image.root.json", "--key", "none.pem"], "cannot be read"),
        (["sign", "junk", "--key", "keys/offline/root-1.pem"], "is no TUF metadata"),
    ],
)
def test_what_goes_wrong_is_one_line(
    keys: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(keys.parent)
    Path("junk").write_text("junk")
    before = {path: path.read_bytes() for path in keys.rglob("*.*")}
    assert _run(*words) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("edgewright keys: ")
    assert told in captured.err
    assert captured.err.count("\n") == 1
    assert {path: path.read_bytes() for path in keys.rglob("*.*")} == before


def test_an_impossible_threshold_is_wrong_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("init", "--dir", tmp_path / "k", "--root-threshold", 4) == 2
    assert "must be 1 to --root-keys" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        _run("rotate", "nobody", "--dir", tmp_path / "k")
    assert caught.value.code == 2
