"""The same tests on SQLite and, where it is installed, on a PostgreSQL of our own."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgewright_fleet.store import Database, open_database
from edgewright_fleet.store.schema import metadata
from sqlalchemy import text


def _postgres_folder() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).parent if on_path else None


@contextlib.contextmanager
def _cluster(folder: Path, programs: Path) -> Iterator[str]:
    """A throw-away cluster on a Unix socket only; the SQLAlchemy URL of its first database."""
    owner = "postgres" if os.getuid() == 0 else None  # postgres refuses to run as root
    if owner:
        shutil.chown(folder, owner)
    data = folder / "cluster"

    def run(program: str, *words: str) -> None:
        # Its output goes to a file: the server would keep a pipe open.
        with (folder / "commands.log").open("ab") as output:
            subprocess.run(
                [programs / program, "-D", data, *words],
                user=owner,
                cwd=folder,
                stdout=output,
                stderr=output,
                check=True,
            )

    run("initdb", "-U", "fleet", "-A", "trust", "-N")
    settings = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", settings, "start")
    try:
        yield f"postgresql+psycopg://fleet@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    programs = _postgres_folder()
    if programs is None:
        pytest.skip("PostgreSQL is not installed")
    pytest.importorskip("psycopg", reason="pip install 'edgewright-fleet[postgresql]'")
    if os.getuid() == 0 and "postgres" not in {user.pw_name for user in pwd.getpwall()}:
        pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
    # Not under pytest's folder: only its owner may enter that, and sockets want short paths.
    with (
        tempfile.TemporaryDirectory(prefix="ew-pg-") as name,
        _cluster(Path(name), programs) as address,
    ):
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'fleet.sqlite'}"
        return
    address: str = request.getfixturevalue("postgres_url")
    yield address
    database = open_database(address)
    with database.writing() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
    database.close()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = open_database(url)
    yield opened
    opened.close()
