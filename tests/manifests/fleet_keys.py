"""A fleet's keys and both repositories in one folder, on a clock that the test moves."""

from pathlib import Path

from edgewright_manifests.digest import digest_of
from edgewright_manifests.metadata import (
    DirectorMetadata,
    DirectorRepository,
    ImageRepository,
    Keyring,
    init_keys,
    sign_targets,
)
from edgewright_manifests.release import ImageCustom, target_path

from tests.manifests.making import Clock, director_custom, image_custom
from tests.manifests.tuf_client import Device

PATH = "detector/1.0.0/onnx-int8.json"
MANIFEST = b'{"stands for":"a manifest"}'


class Fleet:
    """What the server and the operator have."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.keys = folder / "keys"
        init_keys(self.keys, clock=self.clock)
        self.first_roots = {
            name: (self.keys / "public" / f"{name}.1.root.json").read_bytes()
            for name in ("image", "director")
        }
        self.restart()

    def restart(self) -> None:
        """Open both repositories anew, as a restarted server does."""
        online = Keyring(self.keys / "online")
        public = self.keys / "public"
        self.image = ImageRepository.open(self.folder / "image", public, online, clock=self.clock)
        self.director = DirectorRepository.open(
            self.folder / "director", public, online, clock=self.clock
        )

    def sign(self, custom: ImageCustom, manifest: bytes = MANIFEST) -> tuple[bytes, str]:
        """The operator's next targets with one release more, and its target path."""
        path = target_path(custom.model, custom.version, f"{custom.target}-{custom.precision}")
        current = self.image.read("targets.json")
        additions = {path: (manifest, custom)}
        return sign_targets(self.keys / "offline", current, additions, clock=self.clock), path

    def publish(self, version: str = "1.0.0", counter: int = 1) -> str:
        custom = image_custom(version, counter)
        signed, path = self.sign(custom)
        self.image.accept_targets(signed, {path: MANIFEST})
        return path

    def assign(self, device: str = "cam-1", version: str = "1.0.0") -> DirectorMetadata:
        custom = director_custom(image_custom(version), device=device)
        sha256 = digest_of(MANIFEST).removeprefix("sha256:")
        path = target_path("detector", version, "onnx-int8")
        return self.director.assign(device, {path: (len(MANIFEST), sha256, custom)})

    def image_device(self) -> Device:
        """A device that trusts the first image root."""
        read = lambda name: self.image.read(name)  # noqa: E731  # bound late: restart replaces it
        return Device(self.folder / "device-image", read, self.first_roots["image"])

    def director_device(self, name: str = "cam-1") -> Device:
        """A device that trusts the first director root."""
        read = lambda file: self.director.read(name, file)  # noqa: E731  # as above
        return Device(self.folder / f"device-{name}", read, self.first_roots["director"])
