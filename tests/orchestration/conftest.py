"""A PostgreSQL server for the tests of the session, where the machine has the binaries."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres_server import SECRET, PostgresServer, find_binaries


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server, its password where libpq looks for it."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra `postgres`)")
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed here")
    # Not in pytest's own folders, which are closed to the user that the server runs as.
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        server = PostgresServer(binaries, Path(folder))
        patch.setenv("PGPASSWORD", SECRET)
        yield server
        server.stop()
