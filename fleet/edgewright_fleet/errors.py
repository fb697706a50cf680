"""The fleet's errors; the API maps each class to one HTTP status, the command line to exit 1.

edgewright_manifests.errors.EdgewrightError
└── FleetError
    ├── UnknownName          no such device, release, rollout, group       (HTTP 404)
    ├── ConflictError        it exists already, or its state forbids this  (HTTP 409)
    ├── ForbiddenError       a token or certificate that gives no right    (HTTP 403)
    ├── UnprocessableError   a request that breaks the contract            (HTTP 422)
    ├── AuditError           the audit log cannot be written, or does not verify
    ├── BrokerError          mosquitto is missing, or does not start
    ├── StartError           the server cannot start here as it is configured
    ├── UnreachableError     a command found no fleet server
    ├── ServerRefusedError   the fleet server said no; the message is the server's own
    └── RolloutHaltedError   a rollout that a command waited for did not complete
"""

from edgewright_manifests.errors import EdgewrightError


class FleetError(EdgewrightError):
    """Base of what the fleet part raises."""


class UnknownName(FleetError):
    """There is no such thing; list what there is."""


class ConflictError(FleetError):
    """It exists already with other content, or is in a state that forbids the request."""


class ForbiddenError(FleetError):
    """The token or certificate gives no right to do this."""


class UnprocessableError(FleetError):
    """A request that breaks the contract; nothing was changed."""


class AuditError(FleetError):
    """The audit log cannot be written, or is not what was signed.

    An operation that cannot be recorded must not be carried out.
    """


class BrokerError(FleetError):
    """The MQTT broker is missing or does not start."""


class StartError(FleetError):
    """The server cannot start here as it is configured."""


class UnreachableError(FleetError):
    """A command found no fleet server at the address it was given."""


class ServerRefusedError(FleetError):
    """The fleet server refused what a command asked."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class RolloutHaltedError(FleetError):
    """A rollout that a command waited for ended without completing."""
