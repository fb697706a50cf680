"""Change keys: a new root version, signed by the old and the new thresholds.

Keys are found by key id, so a crash between the steps leaves a folder that works: new
keys are written first, the roots next, and the old keys retire last.
"""

import copy
from pathlib import Path
from typing import Literal, NamedTuple

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root, Targets

from edgewright_manifests import documents
from edgewright_manifests.errors import TrustError
from edgewright_manifests.metadata import keys, roles
from edgewright_manifests.metadata.keys import OFFLINE, ONLINE, PUBLIC, Keyring, Repository
from edgewright_manifests.metadata.roles import Clock

RotatedRole = Literal["root", "targets", "snapshot", "timestamp", "director"]
ROTATED: tuple[RotatedRole, ...] = ("root", "targets", "snapshot", "timestamp", "director")
PENDING = "pending"
RETIRED = "retired"
_NEW = ".new.pem"

# Which roles of which repositories a key of ours signs.
_WHERE: dict[RotatedRole, dict[Repository, tuple[str, ...]]] = {
    "root": {"image": ("root",), "director": ("root",)},
    "targets": {"image": ("targets",)},
    "snapshot": {"image": ("snapshot",)},
    "timestamp": {"image": ("timestamp",)},
    "director": {"director": ("targets", "snapshot", "timestamp")},
}


class RotatedRoot(NamedTuple):
    """A root that rotate or add_signature wrote."""

    path: Path
    version: int
    missing: int
    """Signatures that are still needed; 0 when it is in force in `public/`."""


def rotate(folder: Path, role: RotatedRole, *, clock: Clock = keys.utc_now) -> list[RotatedRoot]:
    """Give `role` fresh keys, as many as it had, in a new root of each repository it signs in.

    A root that this machine's offline keys cannot sign up to the threshold is left in
    `pending/` for `keys sign` by the other persons. Old private keys go to `retired/`
    beside the new ones. Raises TrustError when a root is pending already or keys are missing.
    """
    pending = sorted((folder / PENDING).glob("*.json"))
    if pending:
        raise TrustError(
            f"{pending[0]}: waits for signatures; finish it with `edgewright keys sign`, or "
            "remove it"
        )
    current = {repository: keys.read_root(folder, repository) for repository in _WHERE[role]}
    place = folder / (OFFLINE if role in ("root", "targets") else ONLINE)
    count = len(_current_ids(next(iter(current.values())).signed, role))
    fresh = [keys.new_key() for _ in range(count)]
    for number, key in enumerate(fresh, 1):
        name = f"{_file(role, number)}.{key.public_key.keyid[:8]}{_NEW}"
        keys.write_key(place / name, key)
    offline = Keyring(folder / OFFLINE)
    written = []
    for repository, found in current.items():
        root = found.signed
        following = Root.from_dict(copy.deepcopy(root.to_dict()))
        following.version += 1
        following.expires = roles.in_days(clock, roles.ROOT_DAYS)
        for tuf_role in _WHERE[role][repository]:
            _replace_keys(following, tuf_role, fresh)
        metadata = Metadata(following)
        for signer in {
            key.public_key.keyid: key
            for key in (*offline.signers(root, "root"), *offline.signers(following, "root"))
        }.values():
            metadata.sign(signer, append=True)
        written.append(_keep(folder, repository, root, metadata))
    _settle(folder)
    return written


def add_signature(folder: Path, file: Path, key: Path) -> RotatedRoot | None:
    """Sign `file` (TUF metadata: a pending root, or any targets) with one more offline key.

    A root in `pending/` that meets its thresholds by this goes into force. None for metadata
    other than a pending root. Raises TrustError when the key does not sign that role.
    """
    signer = keys.read_key(key)
    data = documents.read_bytes(file)
    try:
        metadata = roles.load(data, Root, str(file))
    except TrustError:
        targets = roles.load(data, Targets, str(file))
        _check_key(keys.read_root(folder, "image").signed, "targets", signer, key, file)
        targets.sign(signer, append=True)
        documents.write_atomically(file, roles.to_bytes(targets))
        return None
    repository = _repository(file)
    current = keys.read_root(folder, repository).signed
    if signer.public_key.keyid not in current.roles["root"].keyids:
        _check_key(metadata.signed, "root", signer, key, file)
    metadata.sign(signer, append=True)
    if file.resolve().parent != (folder / PENDING).resolve():
        documents.write_atomically(file, roles.to_bytes(metadata))
        return None
    kept = _keep(folder, repository, current, metadata)
    _settle(folder)
    return kept


def _keep(
    folder: Path, repository: Repository, current: Root, metadata: Metadata[Root]
) -> RotatedRoot:
    version = metadata.signed.version
    pending = folder / PENDING / f"{repository}.{version}.root.json"
    missing = roles.missing_root_signatures(current, metadata)
    if missing:
        documents.write_atomically(pending, roles.to_bytes(metadata))
        return RotatedRoot(pending, version, missing)
    roles.verify_next_root(current, metadata, str(pending))
    keys.write_root(folder, repository, roles.to_bytes(metadata), version)
    pending.unlink(missing_ok=True)
    return RotatedRoot(folder / PUBLIC / f"{repository}.{version}.root.json", version, 0)


def _replace_keys(root: Root, role: str, fresh: list[CryptoSigner]) -> None:
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for key in fresh:
        root.add_key(key.public_key, role)


def _settle(folder: Path) -> None:
    """Retire keys that no root in force names; give the new ones their final names.

    Waits for pending roots, whose new keys no root in force names yet.
    """
    if any((folder / PENDING).glob("*.json")):
        return
    named = {keyid for repository in keys.REPOSITORIES for keyid in _all_ids(folder, repository)}
    for place in (folder / OFFLINE, folder / ONLINE):
        if not place.is_dir():
            continue  # the other half of the keys is kept elsewhere
        for keyid, path in Keyring(place).paths.items():
            if keyid not in named:
                name = path.name.partition(".")[0]
                retired = place / RETIRED / f"{name}-{keyid[:8]}.pem"
                retired.parent.mkdir(mode=0o700, exist_ok=True)
                path.replace(retired)
        for keyid, path in Keyring(place).paths.items():
            if path.name.endswith(_NEW):
                name = path.name.partition(".")[0]
                final = place / f"{name}.pem"
                # Taken when an earlier rotation stopped half-way: both keys are in force.
                path.replace(place / f"{name}-{keyid[:8]}.pem" if final.exists() else final)
        documents.sync_folder(place)
    _sign_first_targets(folder)


def _sign_first_targets(folder: Path) -> None:
    """A server that starts with these roots needs an empty `targets` by their targets key."""
    root = keys.read_root(folder, "image").signed
    path = folder / PUBLIC / "image.targets.json"
    first = roles.load(documents.read_bytes(path), Targets, str(path))
    if not root.get_verification_result("targets", first.signed_bytes, first.signatures):
        signers = Keyring(folder / OFFLINE).signers(root, "targets")
        if signers:
            first.signed.version += 1
            documents.write_atomically(path, roles.sign(first.signed, signers))


def _all_ids(folder: Path, repository: Repository) -> set[str]:
    root = keys.read_root(folder, repository).signed
    return {keyid for role in root.roles.values() for keyid in role.keyids}


def _current_ids(root: Root, role: RotatedRole) -> list[str]:
    return root.roles["targets" if role == "director" else role].keyids


def _file(role: RotatedRole, number: int) -> str:
    return f"root-{number}" if role == "root" else role if number == 1 else f"{role}-{number}"


def _repository(file: Path) -> Repository:
    for repository in keys.REPOSITORIES:
        if file.name.startswith(f"{repository}."):
            return repository
    raise TrustError(f"{file}: its name must start with image. or director., as rotate wrote it")


def _check_key(root: Root, role: str, signer: CryptoSigner, key: Path, file: Path) -> None:
    if signer.public_key.keyid not in root.roles[role].keyids:
        raise TrustError(f"{key}: is no {role} key for {file.name}; bring the right key")
