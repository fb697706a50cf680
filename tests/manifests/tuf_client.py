"""A device's view of the repositories: python-tuf's own Updater, fetching by `read`."""

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater

Read = Callable[[str], bytes | None]


class ReadFetcher(FetcherInterface):
    """Answers from a repository's `read`, and remembers the names that were asked for."""

    def __init__(self, read: Read) -> None:
        self.read = read
        self.otherwise: Read = lambda name: None
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.asked.append(url)
        data = self.read(url) or self.otherwise(url)
        if data is None:
            raise DownloadHTTPError(f"{url}: not found", 404)
        yield data


class Device:
    """A folder of trusted metadata and a clock; each refresh is a new Updater, as after a boot."""

    def __init__(self, folder: Path, read: Read, root: bytes) -> None:
        self.folder = folder
        self.fetcher = ReadFetcher(read)
        self.root = root
        (folder / "metadata").mkdir(parents=True)
        (folder / "targets").mkdir()

    def refresh(self, now: datetime.datetime) -> Updater:
        self.fetcher.asked.clear()
        updater = Updater(
            str(self.folder / "metadata"),
            "",
            target_dir=str(self.folder / "targets"),
            target_base_url="targets/",
            fetcher=self.fetcher,
            bootstrap=self.root,
        )
        # python-tuf offers no public way to give it a time.
        updater._trusted_set.reference_time = now
        updater._metadata_base_url = ""
        updater.refresh()
        return updater

    def target(self, now: datetime.datetime, path: str) -> TargetFile | None:
        return self.refresh(now).get_targetinfo(path)

    def download(self, now: datetime.datetime, path: str) -> bytes:
        updater = self.refresh(now)
        info = updater.get_targetinfo(path)
        assert info is not None
        return Path(updater.download_target(info)).read_bytes()
