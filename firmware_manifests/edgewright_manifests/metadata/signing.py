"""The operator's side of publishing: sign the image repository's next `targets` offline."""

from collections.abc import Mapping
from pathlib import Path

from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from edgewright_manifests.custom import read_custom, write_custom
from edgewright_manifests.errors import TrustError
from edgewright_manifests.metadata import roles
from edgewright_manifests.metadata.keys import PUBLIC, Keyring, read_roots, utc_now
from edgewright_manifests.metadata.roles import Clock
from edgewright_manifests.release import ImageCustom


def sign_targets(
    keys_offline: Path,
    current: bytes | None,
    additions: Mapping[str, tuple[bytes, ImageCustom]],
    *,
    expires_days: int = roles.TARGETS_DAYS,
    clock: Clock = utc_now,
) -> bytes:
    """The next version of `targets`: all of `current` and the `additions`.

    `additions` has, by target path, a variant's manifest bytes and its custom. `current`
    (None: start anew) comes from a server, so it is verified against the roots in
    `keys/public` beside `keys_offline` before anything is signed. Raises TrustError when it
    does not hold, when a path is published already with other contents, when a release
    counter does not rise, or when the targets key is not in `keys_offline`.
    """
    roots = [root.signed for root, _ in read_roots(keys_offline.parent / PUBLIC, "image")]
    newest = roots[-1]
    keyring = Keyring(keys_offline)
    signers = keyring.require(newest, "targets")
    if current is None:
        targets = Targets(version=1, expires=roles.in_days(clock, expires_days))
    else:
        found = roles.load(current, Targets, "the server's targets")
        _verify_under_any(roots, found)
        targets = found.signed
        targets.version += 1
        targets.expires = roles.in_days(clock, expires_days)
    counters = _counters(targets)
    for path, (manifest, custom) in additions.items():
        _check_counter(path, custom, counters)
        addition = TargetFile.from_data(path, manifest, ["sha256"])
        addition.unrecognized_fields["custom"] = write_custom(custom)
        known = targets.targets.setdefault(path, addition)
        if known != addition:
            raise TrustError(
                f"{path}: is published already with other contents; give the release a new version"
            )
    data = roles.sign(targets, signers)
    if len(data) > roles.MAX_TARGETS_BYTES:
        raise TrustError(
            f"targets would be {len(data)} bytes, devices accept {roles.MAX_TARGETS_BYTES}"
        )
    return data


def next_release_counter(current: bytes | None, model: str, version: str) -> int:
    """The counter for a release of `model`: one above its highest, or that of `version` again.

    `current` is the newest `targets` (None: nothing published). Raises TrustError when it
    cannot be read; its signatures are not looked at, sign_targets does that.
    """
    if current is None:
        return 1
    counters = _counters(roles.load(current, Targets, "the server's targets").signed)
    known = counters.get(model, {})
    return known.get(version, max(known.values(), default=0) + 1)


def _verify_under_any(roots: list[Root], found: Metadata[Targets]) -> None:
    """Under the newest root, or (just after `keys rotate targets`) an earlier one."""
    for root in roots[:-1]:
        try:
            return roles.verify(root, found, "the server's targets")
        except TrustError:
            continue
    return roles.verify(roots[-1], found, "the server's targets")


def _counters(targets: Targets) -> dict[str, dict[str, int]]:
    """Release counters by model and version."""
    counters: dict[str, dict[str, int]] = {}
    for path, target in targets.targets.items():
        custom = read_custom(target.custom, ImageCustom, path)
        counters.setdefault(custom.model, {})[custom.version] = custom.release_counter
    return counters


def _check_counter(path: str, custom: ImageCustom, counters: dict[str, dict[str, int]]) -> None:
    known = counters.setdefault(custom.model, {})
    others = [counter for version, counter in known.items() if version != custom.version]
    expected = known.get(custom.version)
    if expected is None and custom.release_counter <= max(others, default=0):
        raise TrustError(
            f"{path}: release counter {custom.release_counter} is not above {max(others)} of an "
            "earlier release; give it a higher one"
        )
    if expected is not None and custom.release_counter != expected:
        raise TrustError(
            f"{path}: release counter {custom.release_counter}, but {custom.model} "
            f"{custom.version} has {expected} already"
        )
    known[custom.version] = custom.release_counter
