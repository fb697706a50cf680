"""Files of this machine whose kind shows in their names, as Magika wants to see them."""

import random
import sysconfig
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_KINDS = {
    ".py": "python", ".pyc": "pythonbytecode", ".so": "elf", ".h": "c", ".c": "c", ".html": "html",
    ".js": "javascript", ".css": "css", ".json": "json", ".xml": "xml", ".sh": "shell",
    ".pl": "perl", ".pm": "perl", ".png": "png", ".gz": "gzip", ".svg": "svg", ".ttf": "ttf",
    ".md": "markdown", ".rst": "rst", ".toml": "toml", ".yaml": "yaml", ".zip": "zip",
    ".whl": "zip", ".csv": "csv", ".npy": "npy", ".npz": "npz", ".jpg": "jpeg", ".wav": "wav",
    ".onnx": "onnx", ".hpp": "cpp", ".pem": "pem",
}  # fmt: skip  # one line a row of a table
_PER_KIND = 40
_BLOCK, _HALF, _PADDING = 4096, 1024, 256


def known_files(labels: list[str], count: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """`bytes` [count or fewer, 2048] and the class of each, in a fixed random order."""
    roots = [Path(sysconfig.get_paths()["purelib"]), Path("/usr/share"), Path("/usr/lib")]
    found: dict[str, list[Path]] = {}
    for root in roots:
        for path in sorted(root.rglob("*.*")):
            kind = _KINDS.get(path.suffix)
            chosen = found.setdefault(path.suffix, [])
            if kind in labels and len(chosen) < _PER_KIND and _usable(path):
                chosen.append(path)
    pairs = [(path, labels.index(_KINDS[suffix])) for suffix in found for path in found[suffix]]
    random.Random(3).shuffle(pairs)
    pairs = pairs[:count]
    features = np.stack([_features(path.read_bytes()) for path, _ in pairs])
    return features, np.array([label for _, label in pairs], np.int64)


def _usable(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and 64 <= path.stat().st_size < 1 << 22


def _features(data: bytes) -> NDArray[np.int32]:
    """The stripped first and last kilobyte, padded with 256 (magika's config.min.json)."""
    first, last = data[:_BLOCK].lstrip()[:_HALF], data[-_BLOCK:].rstrip()[-_HALF:]
    features = np.full(2 * _HALF, _PADDING, np.int32)
    features[: len(first)] = np.frombuffer(first, np.uint8)
    features[2 * _HALF - len(last) :] = np.frombuffer(last, np.uint8)
    return features
