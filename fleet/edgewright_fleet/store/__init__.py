"""All that the fleet remembers: SQL is spoken here and nowhere else."""

from edgewright_fleet.store.assignments import AssignedTarget, AssignmentRecord, Assignments
from edgewright_fleet.store.blobs import Blobs
from edgewright_fleet.store.database import Database, open_database
from edgewright_fleet.store.devices import DeviceRecord, Devices
from edgewright_fleet.store.events import EventRecord, Events
from edgewright_fleet.store.groups import Groups
from edgewright_fleet.store.releases import ReleaseRecord, Releases, VariantRecord
from edgewright_fleet.store.rollouts import Rollouts
from edgewright_fleet.store.selection import choose_variant
from edgewright_fleet.store.tokens import Tokens

__all__ = [
    "AssignedTarget",
    "AssignmentRecord",
    "Assignments",
    "Blobs",
    "Database",
    "DeviceRecord",
    "Devices",
    "EventRecord",
    "Events",
    "Groups",
    "ReleaseRecord",
    "Releases",
    "Rollouts",
    "Tokens",
    "VariantRecord",
    "choose_variant",
    "open_database",
]
