"""docs/runtime.md names what there is: options, settings, commands; and shells complete them."""

import argparse
import functools
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from edgewright_runtime import commands, control, serve_command
from edgewright_runtime.config import RuntimeConfig
from edgewright_runtime.model_settings import ModelSettings, SequenceSettings, read_model_settings

GUIDE = (Path(__file__).resolve().parents[3] / "docs" / "runtime.md").read_text()


@functools.cache
def completion(shell: str) -> str:
    """What `edgewright completion SHELL` prints."""
    program = "from edgewright_manifests.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "completion", shell],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def options() -> list[str]:
    """The long options of `edgewright runtime serve`."""
    parser = argparse.ArgumentParser(add_help=False)
    serve_command.add_arguments(parser)
    return [word for action in parser._actions for word in action.option_strings]


@pytest.mark.parametrize("option", options())
def test_every_option_of_serve_is_in_the_guide(option: str) -> None:
    assert re.search(rf"{option}\b", GUIDE)


@pytest.mark.parametrize("command", commands.COMMANDS)
def test_every_command_is_in_the_guide(command: str) -> None:
    assert f"edgewright runtime {command}" in GUIDE


@pytest.mark.parametrize("kind", [ModelSettings, SequenceSettings])
def test_every_setting_of_a_model_is_in_the_guide(kind: type[msgspec.Struct]) -> None:
    missing = [name for name in kind.__struct_fields__ if f"`{name}`" not in GUIDE]
    assert missing == []


def test_the_defaults_in_the_guide_are_the_defaults() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| (`\"\w+\"`|\d+|true|false) \|", GUIDE, re.MULTILINE))
    defaults = msgspec.to_builtins(ModelSettings())
    for name, text in table.items():
        if defaults.get(name) is not None:
            assert msgspec.json.decode(text.strip("`")) == defaults[name], name
    assert {"batching", "max_batch", "priority_levels", "pinned"} <= table.keys()


def test_every_request_of_the_control_socket_is_in_the_guide() -> None:
    for request in control.AnyRequest.__args__:
        assert f"| `{request.__struct_config__.tag}` |" in GUIDE


def test_the_guides_settings_are_read_as_they_stand(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    path = tmp_path / "settings.toml"
    path.write_text(block)
    settings = read_model_settings(path)
    assert set(settings) == {"*", "detector", "silero-vad"}
    # A device has the same tables in its configuration.
    msgspec.convert({"models": msgspec.to_builtins(settings)}, RuntimeConfig)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_shells_complete_every_option(shell: str) -> None:
    script = completion(shell)
    for option in options():
        assert (option if shell != "tcsh" else option.removeprefix("--")) in script


def test_bash_completes_an_option_of_a_nested_command(tmp_path: Path) -> None:
    script = tmp_path / "edgewright.bash"
    script.write_text(completion("bash"))
    words = ["edgewright", "runtime", "serve", "--model-s"]
    asked = (
        f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        'COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; _shtab_edgewright; '
        'echo "${COMPREPLY[*]}"'
    )
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["--model-settings"], done.stderr
