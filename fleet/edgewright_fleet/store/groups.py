"""Named sets of devices. `all` is every enrolled device and is not stored."""

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from edgewright_fleet.errors import ConflictError, UnknownName
from edgewright_fleet.store.database import Database
from edgewright_fleet.store.schema import devices, group_members, groups

ALL = "all"


class Groups:
    """The tables of groups and their members."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str) -> None:
        """A new, empty group. Raises ConflictError when there is one of this name."""
        if name == ALL:
            raise ConflictError(f"group {ALL!r} is every enrolled device; take another name")
        try:
            with self._database.writing() as connection:
                connection.execute(insert(groups).values(name=name))
        except IntegrityError as error:
            raise ConflictError(f"group {name!r} exists already") from error

    def delete(self, name: str) -> None:
        """Forget a group; its devices stay. Raises UnknownName."""
        with self._database.writing() as connection:
            connection.execute(delete(group_members).where(group_members.c.group_name == name))
            if connection.execute(delete(groups).where(groups.c.name == name)).rowcount == 0:
                raise _missing(name)

    def add(self, name: str, device: str) -> None:
        """Put a device into a group; again is no error. Raises UnknownName for either."""
        self._must_exist(name)
        try:
            with self._database.writing() as connection:
                connection.execute(insert(group_members).values(group_name=name, device=device))
        except IntegrityError as error:
            with self._database.reading() as connection:
                if connection.execute(select(devices).where(devices.c.id == device)).first():
                    return
            raise UnknownName(f"device {device!r} is not enrolled") from error

    def remove(self, name: str, device: str) -> None:
        """Take a device out of a group. Raises UnknownName when it is not in it."""
        with self._database.writing() as connection:
            result = connection.execute(
                delete(group_members).where(
                    group_members.c.group_name == name, group_members.c.device == device
                )
            )
        if result.rowcount == 0:
            raise UnknownName(f"device {device!r} is not in group {name!r}")

    def all(self) -> dict[str, list[str]]:
        """Every group and its members, both by name; without `all`."""
        with self._database.reading() as connection:
            found: dict[str, list[str]] = {
                row.name: [] for row in connection.execute(select(groups).order_by(groups.c.name))
            }
            for row in connection.execute(select(group_members).order_by(group_members.c.device)):
                found[row.group_name].append(row.device)
        return found

    def members(self, name: str) -> list[str]:
        """The devices of a group that are not revoked, by name. Raises UnknownName."""
        query = select(devices.c.id).where(devices.c.revoked.is_(None)).order_by(devices.c.id)
        if name != ALL:
            self._must_exist(name)
            query = query.join(group_members, group_members.c.device == devices.c.id).where(
                group_members.c.group_name == name
            )
        with self._database.reading() as connection:
            return list(connection.execute(query).scalars())

    def _must_exist(self, name: str) -> None:
        with self._database.reading() as connection:
            if connection.execute(select(groups).where(groups.c.name == name)).first() is None:
                raise _missing(name)


def _missing(name: str) -> UnknownName:
    return UnknownName(f"there is no group {name!r}; see `edgewright fleet groups`")
