"""Proofs that hold without the log, and the commands that make and check them."""

import argparse
import json
from pathlib import Path

import msgspec
import pytest
from edgewright_fleet.audit import command
from edgewright_fleet.audit.opening import CHECKPOINT, PUBLIC_KEY
from edgewright_fleet.audit.proofs import (
    check_consistency,
    check_inclusion,
    prove_consistency,
    prove_inclusion,
)
from edgewright_fleet.errors import AuditError, UnknownName
from edgewright_manifests.errors import UsageError

from tests.fleet.audit.logs import KEY, OTHER_KEY, edit_lines, records, write_log


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A server's folder with a log of 14 records."""
    write_log(tmp_path / "data" / "audit", 7)
    return tmp_path / "data"


def test_every_record_can_be_proved_and_no_other(data: Path) -> None:
    log = data / "audit"
    for index, record in enumerate(records(log)):
        proof = prove_inclusion(log, KEY.public, index)
        assert check_inclusion(proof, KEY.public) == record
        forged = msgspec.structs.replace(proof, record=proof.record.replace("admin", "ghost"))
        with pytest.raises(AuditError, match="does not hold"):
            check_inclusion(forged, KEY.public)
        with pytest.raises(AuditError, match="does not hold"):
            check_inclusion(msgspec.structs.replace(proof, index=(index + 1) % 14), KEY.public)
        with pytest.raises(AuditError, match="no signature by"):
            check_inclusion(proof, OTHER_KEY.public)


@pytest.mark.parametrize("index", [-1, 14])
def test_a_record_that_is_not_there_cannot_be_proved(data: Path, index: int) -> None:
    with pytest.raises(UnknownName, match="the log has 14"):
        prove_inclusion(data / "audit", KEY.public, index)


def test_a_damaged_log_gives_no_proof(data: Path) -> None:
    edit_lines(data / "audit", lambda lines: lines[1:])
    with pytest.raises(AuditError, match="not what was signed"):
        prove_inclusion(data / "audit", KEY.public, 3)


def test_that_the_log_only_grew_can_be_proved(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", 3)
    old = (log / CHECKPOINT).read_bytes()
    write_log(log, 4)
    proof = prove_consistency(log, KEY.public, 6)
    assert check_consistency(proof, old, KEY.public).size == 14
    forged = write_log(tmp_path / "forged", 7)
    with pytest.raises(AuditError, match="does not hold"):
        check_consistency(prove_consistency(forged, KEY.public, 6), old, KEY.public)


def test_verify_says_intact_and_exits_0(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--data", str(data), "--public-key", KEY.public) == 0
    out, err = capsys.readouterr()
    assert out.startswith("intact: 14 records, root ")
    assert err == ""


def test_verify_without_a_pinned_key_says_so(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", "--data", str(data)) == 0
    assert "pin it with --public-key" in capsys.readouterr().err


def test_verify_names_the_first_bad_record_and_exits_1(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_lines(data / "audit", lambda lines: lines[:5] + lines[6:])
    assert run("verify", "--data", str(data), "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert not report["intact"]
    assert [(p["kind"], p["index"]) for p in report["problems"]] == [("removed", 5)]
    assert run("verify", "--data", str(data)) == 1
    assert "NOT INTACT: removed at record 5" in capsys.readouterr().out


def test_verify_with_a_checkpoint_that_was_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes((data / "audit" / CHECKPOINT).read_bytes())
    assert run("verify", "--data", str(data), "--checkpoint", str(kept)) == 0
    assert "agrees with the kept checkpoint of 14 records" in capsys.readouterr().out
    with pytest.raises(AuditError, match="cannot be read"):
        run("verify", "--data", str(data), "--checkpoint", str(tmp_path / "nowhere"))


def test_a_proof_is_written_and_checked_without_the_log(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file = data / "audit" / PUBLIC_KEY
    proof = tmp_path / "proof.json"
    assert run("prove", "3", "--data", str(data), "--out", str(proof)) == 0
    assert run("verify", "--proof", str(proof), "--public-key", str(key_file)) == 0
    assert "holds: record 3: device.enrol after by admin" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--proof needs --public-key"):
        run("verify", "--proof", str(proof))
    proof.write_text(proof.read_text().replace("admin", "ghost"))
    with pytest.raises(AuditError, match="does not hold"):
        run("verify", "--proof", str(proof), "--public-key", KEY.public)


def test_an_export_is_verified_with_log(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("export", "--data", str(data), "--out", str(out), "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"folder": str(out), "records": 14}
    assert run("verify", "--log", str(out), "--public-key", KEY.public) == 0


def test_no_log_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="there is no audit log here; name the folder"):
        run("verify", "--data", str(tmp_path))
