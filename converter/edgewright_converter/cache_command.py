"""`edgewright cache`: see and empty what conversions keep for the next run."""

import argparse
from pathlib import Path

from edgewright_manifests import documents
from edgewright_manifests.documents import Document
from edgewright_manifests.errors import UsageError

from edgewright_converter.config import default_cache_folder

HELP = "show or clear what conversions keep for the next run"


class CacheSummary(Document, frozen=True):
    """What `cache show --json` prints, and `clear --json` of what it removed."""

    folder: str
    entries: int
    size_bytes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """See `Command`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for word, text in (("show", "where it is and how large"), ("clear", "remove all entries")):
        action = actions.add_parser(word, help=text, description=text)
        action.add_argument(
            "--cache-dir",
            type=Path,
            metavar="DIR",
            help="default: edgewright in the user's cache folder",
        )
        action.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """See `Command`."""
    if arguments.action is None:
        raise UsageError("say what to do: show, clear")
    # Here, not above: `--help` need not wait for it.
    from edgewright_converter.cache import Store

    store = Store(arguments.cache_dir or default_cache_folder())
    facts = store.clear() if arguments.action == "clear" else store.facts()
    if arguments.json:
        summary = CacheSummary(
            folder=str(facts.folder), entries=facts.entries, size_bytes=facts.size_bytes
        )
        print(documents.encode(summary).decode())
        return 0
    word = "removed" if arguments.action == "clear" else "holds"
    print(f"{facts.folder} {word} {facts.entries} entries, {facts.size_bytes / 1e6:.1f} MB")
    return 0
