import pytest, psycopg, uuid
from chunk_sync.store.database import Database
from chunk_sync.store.migrations import migrate
B="postgresql://postgres@127.0.0.1:5599/"
@pytest.fixture(scope="session")
def tmpl():
    n="t_"+uuid.uuid4().hex[:8]
    with psycopg.connect(B+"lead",autocommit=True) as c: c.execute(f"create database {n}")
    with Database(B+n) as d: migrate(d)
    return n
@pytest.fixture
def database(tmpl):
    n="c_"+uuid.uuid4().hex[:8]
    with psycopg.connect(B+"lead",autocommit=True) as c: c.execute(f"create database {n} template {tmpl} strategy file_copy")
    with psycopg.connect(B+n,autocommit=True) as c: c.execute(f"alter database {n} set search_path=chunk_sync,public")
    with Database(B+n) as d: yield d
    with psycopg.connect(B+"lead",autocommit=True) as c: c.execute(f"drop database {n} with (force)")
@pytest.fixture
def empty_database():
    n="e_"+uuid.uuid4().hex[:8]
    with psycopg.connect(B+"lead",autocommit=True) as c: c.execute(f"create database {n}")
    with Database(B+n) as d: yield d
    with psycopg.connect(B+"lead",autocommit=True) as c: c.execute(f"drop database {n} with (force)")
@pytest.fixture
def plain_connection(database):
    with psycopg.connect(database.dsn.replace("+psycopg","")) as c: yield c
