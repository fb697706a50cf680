"""How devices come into the fleet and leave it."""

from edgewright_fleet.devices.enrolment import Addresses, Enrolment
from edgewright_fleet.devices.revocation import Gate, Revocation

__all__ = ["Addresses", "Enrolment", "Gate", "Revocation"]
