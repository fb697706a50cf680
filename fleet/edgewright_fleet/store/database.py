"""Opening SQLite (WAL) or PostgreSQL, and bringing it to the newest schema."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from edgewright_fleet.errors import StartError

_BUSY_MS = 10_000
_IMMEDIATE = "edgewright_immediate"


class Database:
    """An engine with the two ways to use it: read, or write in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view."""
        with self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it, or nothing when the block raises."""
        with (
            self.engine.connect().execution_options(**{_IMMEDIATE: True}) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()


def open_database(url: str) -> Database:
    """The database at an SQLAlchemy URL (`sqlite:///...`, `postgresql+psycopg://...`), migrated.

    Raises StartError when it cannot be reached or its driver is not installed.
    """
    try:
        engine = _create(url)
        database = Database(engine)
        with database.writing() as connection:
            _migrate(connection)
    except (ArgumentError, NoSuchModuleError) as error:
        raise StartError(f"database: {error}; use sqlite:/// or postgresql+psycopg://") from error
    except ModuleNotFoundError as error:
        raise StartError(
            f"database: {error.name} is missing; pip install 'edgewright-fleet[postgresql]'"
        ) from error
    except OperationalError as error:
        reason = str(error.orig).strip().splitlines()[0]
        shown = make_url(url).render_as_string(hide_password=True)
        raise StartError(f"database {shown} cannot be opened: {reason}") from error
    return database


def _create(url: str) -> Engine:
    engine = create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(
    dbapi_connection: Any,  # Any: the DBAPI has no types of its own
    _record: object,
) -> None:
    # The driver must not begin transactions by itself: _begin_sqlite does.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    # FULL: an enrolment that was answered must survive a power cut.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A reader that becomes a writer fails at once when another wrote meanwhile; a transaction
    # that is going to write takes the lock first, and waits for it.
    immediate = connection.get_execution_options().get(_IMMEDIATE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
