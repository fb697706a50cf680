"""Enrolment tokens: only the hash of the secret is kept."""

import datetime
import hashlib

from sqlalchemy import insert, select, update

from edgewright_fleet.store.database import Database
from edgewright_fleet.store.schema import tokens


class Tokens:
    """Secrets that enrol devices, each for a time and a number of uses."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        secret: str,
        *,
        expires: datetime.datetime,
        uses: int,
        now: datetime.datetime,
        created_by: str,
    ) -> None:
        """Remember a new secret."""
        with self._database.writing() as connection:
            connection.execute(
                insert(tokens).values(
                    secret_hash=_hashed(secret),
                    expires=expires,
                    uses_left=uses,
                    created=now,
                    created_by=created_by,
                )
            )

    def take(self, secret: str, *, now: datetime.datetime) -> bool:
        """Use the secret once; False for one that is wrong, expired or used up."""
        with self._database.writing() as connection:
            result = connection.execute(
                update(tokens)
                .where(
                    tokens.c.secret_hash == _hashed(secret),
                    tokens.c.uses_left > 0,
                    tokens.c.expires > now,
                )
                .values(uses_left=tokens.c.uses_left - 1)
            )
            return result.rowcount == 1

    def is_known(self, secret: str) -> bool:
        """Whether this secret was ever issued, used up or expired as it may be."""
        query = select(tokens.c.expires).where(tokens.c.secret_hash == _hashed(secret))
        with self._database.reading() as connection:
            return connection.execute(query).first() is not None

    def give_back(self, secret: str) -> None:
        """Undo one `take`, when the enrolment that it was for was refused."""
        with self._database.writing() as connection:
            connection.execute(
                update(tokens)
                .where(tokens.c.secret_hash == _hashed(secret))
                .values(uses_left=tokens.c.uses_left + 1)
            )


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
