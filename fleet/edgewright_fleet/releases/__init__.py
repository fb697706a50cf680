"""Releases: taken in when the operator's offline key signed them, assigned device by device."""

from edgewright_fleet.releases.director import FleetDirector
from edgewright_fleet.releases.intake import NewRelease, ReleaseIntake
from edgewright_fleet.releases.signing import Signing

__all__ = ["FleetDirector", "NewRelease", "ReleaseIntake", "Signing"]
