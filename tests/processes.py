"""What runs on this machine, read from /proc: `ps` and `pgrep` are not everywhere."""

from pathlib import Path


def command_lines() -> dict[int, str]:
    """Process id -> its command line, words separated by spaces."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue  # it ended while we looked
            found[int(folder.name)] = line.replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def parent(pid: int) -> int | None:
    """Who started the process; None when it has ended."""
    try:
        state = (Path("/proc") / str(pid) / "stat").read_text()
    except OSError:
        return None
    return int(state.rpartition(")")[2].split()[1])  # proc(5): after the name, state and parent


def running(*words: str) -> list[str]:
    """The command lines that contain all these words."""
    return [line for line in command_lines().values() if all(word in line for word in words)]
