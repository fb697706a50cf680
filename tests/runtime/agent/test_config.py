"""The daemon's configuration: one file, every mistake named."""

from pathlib import Path

import pytest
from edgewright_manifests.errors import DocumentError
from edgewright_runtime.config import FAULT_VARIABLE, load_config, read_fault
from edgewright_runtime.update.faults import KillOnce, pass_by


def test_without_a_file_the_defaults_serve_on_the_loopback() -> None:
    config = load_config(None)
    assert config.http == "127.0.0.1:8000"
    assert config.update.poll_s == 300.0
    assert config.control_socket == Path("edgewright-state/run/control.sock")


def test_options_go_before_the_file_and_the_file_before_defaults(tmp_path: Path) -> None:
    path = tmp_path / "runtime.toml"
    path.write_text('http = "127.0.0.1:1"\nthreads = 2\n[update]\npoll_s = 60\n')
    config = load_config(path, http="127.0.0.1:2", state_dir=None)
    assert (config.http, config.threads, config.update.poll_s) == ("127.0.0.1:2", 2, 60)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("htp = 'x'", "did you mean `http`"),
        ("[update]\npol_s = 1", "did you mean `poll_s`"),
        ("[log]\nlevel = 'loud'", "Invalid enum value 'loud'"),
        ("threads = 0", ">= 1"),
        ("[update]\npoll_s = 0.0", "> 0"),
        ("threads = 'two'", "Expected `int`"),
        ("threads = ", "no valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "runtime.toml"
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_option_is_checked_like_the_file() -> None:
    with pytest.raises(DocumentError, match="threads"):
        load_config(None, threads=0)


def test_faults_are_for_tests_only(tmp_path: Path) -> None:
    assert read_fault({}) is pass_by
    fault = read_fault({FAULT_VARIABLE: str(tmp_path / "order")})
    assert isinstance(fault, KillOnce)
    fault("stage:before")  # no order, no kill
