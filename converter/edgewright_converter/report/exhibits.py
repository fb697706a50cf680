"""The samples that a report shows, ready to be put into a page; report.json has the words only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewright_manifests.variant import Target

from edgewright_converter.report.document import Difference


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One sample, as one target answers it."""

    difference: Difference
    picture: str = ""
    """Name of a style in Exhibits.styles; empty where the sample is no picture."""
    width: int = 0
    height: int = 0
    """Of the picture, in pixels."""
    wave: str = ""
    """SVG of the sound; empty where the sample is none."""
    looks_float: str = ""
    """What the float model looks at: a data URI over the picture, or an SVG."""
    looks: str = ""
    """What the shipped variant looks at."""


@dataclass(frozen=True, slots=True)
class Exhibits:
    """All that is shown."""

    styles: tuple[tuple[str, str], ...] = ()
    """Name and data URI of each picture, once however often it is shown."""
    by_target: Mapping[Target, tuple[Exhibit, ...]] = field(default_factory=dict)
    note: str = ""
    """Why something is not shown."""
