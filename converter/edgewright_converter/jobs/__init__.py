"""The work that touches a model or a sample file: each piece runs in a child process.

A job is a frozen dataclass; it and what it returns travel in crates. Nothing outside `jobs`
opens a model.
"""

from edgewright_converter.jobs.latency import LatencyJob
from edgewright_converter.jobs.preparing import Preparation, PrepareJob
from edgewright_converter.jobs.ranking import Ranking, RankJob
from edgewright_converter.jobs.reading import Reading, ReadJob
from edgewright_converter.jobs.saliency import SaliencyJob
from edgewright_converter.jobs.trial import FloatJob, RecipeJob, Trial

__all__ = [
    "FloatJob",
    "LatencyJob",
    "Preparation",
    "PrepareJob",
    "RankJob",
    "Ranking",
    "ReadJob",
    "Reading",
    "RecipeJob",
    "SaliencyJob",
    "Trial",
]
