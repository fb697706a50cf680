"""HTTP: the operators' listener and the devices' listener."""

from edgewright_fleet.api.auth import Gatekeeper
from edgewright_fleet.api.changes import Changes
from edgewright_fleet.api.device import device_application
from edgewright_fleet.api.operator import Services, operator_application

__all__ = ["Changes", "Gatekeeper", "Services", "device_application", "operator_application"]
