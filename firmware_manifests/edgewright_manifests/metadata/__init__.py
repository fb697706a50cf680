"""TUF for edgewright: keys and roots, the image repository, the director repository.

Which names python-tuf's `ngclient.Updater` asks for, and the repositories' `read`
answers (a name that is not there gives None, to be served as 404):

- image (consistent_snapshot True): `N.root.json` (N+1, N+2, ... until 404),
  `timestamp.json`, `N.snapshot.json`, `N.targets.json`, and for a target path
  `MODEL/VERSION/VARIANT.json` under the target base `targets/`:
  `targets/MODEL/VERSION/SHA256HEX.VARIANT.json`.
- director, per device (consistent_snapshot False): `N.root.json`, `timestamp.json`,
  `snapshot.json`, `targets.json`. Its targets are the image repository's files.

Beyond that, for people and tools, `root.json`, `snapshot.json`, `targets.json` (the
newest) and `targets/MODEL/VERSION/VARIANT.json` of the image repository.
"""

from edgewright_manifests.metadata.director_repository import DirectorMetadata, DirectorRepository
from edgewright_manifests.metadata.image_repository import ImageRepository
from edgewright_manifests.metadata.keys import Keyring, init_keys, utc_now
from edgewright_manifests.metadata.rotation import add_signature, rotate
from edgewright_manifests.metadata.signing import next_release_counter, sign_targets

__all__ = [
    "DirectorMetadata",
    "DirectorRepository",
    "ImageRepository",
    "Keyring",
    "add_signature",
    "init_keys",
    "next_release_counter",
    "rotate",
    "sign_targets",
    "utc_now",
]
