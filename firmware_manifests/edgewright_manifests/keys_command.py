"""`edgewright keys`: make, show, rotate and use the signing keys of a fleet."""

import argparse
import datetime
from pathlib import Path
from typing import Any, cast

import msgspec
from tuf.api.metadata import Root

from edgewright_manifests.errors import UsageError
from edgewright_manifests.metadata.keys import (
    OFFLINE,
    ONLINE,
    REPOSITORIES,
    Keyring,
    init_keys,
    read_root,
)
from edgewright_manifests.metadata.rotation import ROTATED, add_signature, rotate

HELP = "make, show, rotate and use the signing keys of a fleet"

_EXPLANATION = """\
  offline/  root-*.pem and targets.pem: keep them off the server, each with another person
  online/   snapshot.pem, timestamp.pem, director.pem: for `edgewright fleet serve --keys`
  public/   the signed roots: for the server and, by enrolment, the devices"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `init`, `show`, `rotate` and `sign`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    init = actions.add_parser("init", help="make all keys and both first roots")
    init.add_argument("--root-keys", type=int, default=3, help="how many root keys (default 3)")
    init.add_argument(
        "--root-threshold", type=int, default=2, help="how many of them must sign (default 2)"
    )
    show = actions.add_parser("show", help="print roles, key ids, thresholds and expiry")
    rotating = actions.add_parser("rotate", help="give a role fresh keys in a new root")
    rotating.add_argument("role", metavar="ROLE", choices=ROTATED, help=" ".join(ROTATED))
    sign = actions.add_parser("sign", help="add one more offline key's signature to a file")
    sign.add_argument("file", metavar="FILE", type=Path, help="a root in pending/, or targets")
    sign.add_argument("--key", type=Path, required=True, metavar="PEM", help="the key to sign with")
    for action in (init, show, rotating, sign):
        action.add_argument(
            "--dir", type=Path, default=Path("keys"), help="the key folder (default keys)"
        )
        action.add_argument("--json", action="store_true", help="print one JSON document")


def run(arguments: argparse.Namespace) -> int:
    """Do it. Raises TrustError or UsageError."""
    folder = cast(Path, arguments.dir)
    if arguments.action == "init":
        if not 1 <= arguments.root_threshold <= arguments.root_keys:
            raise UsageError("--root-threshold must be 1 to --root-keys")
        init_keys(folder, root_keys=arguments.root_keys, root_threshold=arguments.root_threshold)
        return _print(arguments, {"dir": str(folder)}, f"keys made in {folder}\n{_EXPLANATION}")
    if arguments.action == "show":
        return _show(arguments, folder)
    if arguments.action == "rotate":
        written = rotate(folder, arguments.role)
    else:
        found = add_signature(folder, arguments.file, arguments.key)
        written = [found] if found else []
    lines = [
        f"{root.path}: needs {root.missing} more root signature(s): `edgewright keys sign`"
        if root.missing
        else f"{root.path}: in force; restart `edgewright fleet serve` with it"
        for root in written
    ] or [f"{arguments.file}: signed"]
    if arguments.action == "rotate" and arguments.role == "targets":
        lines.append("the next `edgewright fleet publish` signs with the new targets key")
    roots = [{"path": str(r.path), "version": r.version, "missing": r.missing} for r in written]
    return _print(arguments, {"roots": roots}, "\n".join(lines))


def _show(arguments: argparse.Namespace, folder: Path) -> int:
    document: dict[str, Any] = {}  # Any: a JSON document for people and scripts
    lines = []
    held = [Keyring(place) for p in (OFFLINE, ONLINE) if (place := folder / p).is_dir()]
    for repository in REPOSITORIES:
        root = read_root(folder, repository).signed
        left = (root.expires - datetime.datetime.now(datetime.UTC)).days
        lines.append(
            f"{repository} root version {root.version}, expires {root.expires:%Y-%m-%d} "
            f"({left} days)"
        )
        document[repository] = {
            "version": root.version,
            "expires": root.expires,
            "roles": _roles(root, held, lines),
        }
    return _print(arguments, document, "\n".join(lines))


def _roles(root: Root, held: list[Keyring], lines: list[str]) -> dict[str, Any]:  # Any: as above
    table = {}
    for name, role in sorted(root.roles.items()):
        here = [keyid for keyid in role.keyids if any(keyid in ring for ring in held)]
        short = " ".join(f"{i[:12]}{'' if i in here else ' (not here)'}" for i in role.keyids)
        lines.append(f"  {name:<10} {role.threshold} of {len(role.keyids)}: {short}")
        table[name] = {"threshold": role.threshold, "keys": role.keyids, "held": here}
    return table


def _print(
    arguments: argparse.Namespace, document: dict[str, Any], text: str
) -> int:  # Any: as above
    print(msgspec.json.encode(document).decode() if arguments.json else text)
    return 0
