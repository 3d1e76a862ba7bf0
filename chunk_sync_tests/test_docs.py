"""The documentation, held to the code: what exists is described, and what is described exists and works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer.main

from chunk_sync import __version__, settings
from chunk_sync.cli.main import app
from chunk_sync.definitions import defs
from chunk_sync.domain.partitions import PARTITIONS_NAME
from chunk_sync.local.dsn import libpq_url
from chunk_sync.settings import PROJECT_ROOT
from chunk_sync.store.database import Database, sql_folder
from chunk_sync_tests.factory import claim, fail_for_good, make_job, make_mailbox, open_worker

FIRST_SCREEN = 24
# Dagster copies our sensors when it resolves them, and then warns of its own parameter.
DAGSTERS_OWN = pytest.mark.filterwarnings("ignore::dagster_shared.utils.warnings.BetaWarning")
PICTURES = {f"docs/images/{name}.png" for name in ("lineage", "partitions", "run", "health", "live")}
PICTURES |= {
    f"docs/images/ui-{name}.png"
    for name in (
        *("launchpad", "run", "materialize", "failed", "backfill", "retry", "resync", "recover", "pause", "resume"),
        *("prioritize", "cancel", "archive", "refused", "invented", "invented-run"),
    )
}
DOCUMENTS = [
    *(PROJECT_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((PROJECT_ROOT / "docs").rglob("*.md")),
]
REFERENCE = (PROJECT_ROOT / "docs" / "reference.md").read_text("utf-8")
CONCEPTS = (PROJECT_ROOT / "docs" / "concepts.md").read_text("utf-8")


def _name(path: Path) -> str:
    return path.relative_to(PROJECT_ROOT).as_posix()


def _section(text: str, heading: str) -> str:
    """What stands below a heading (`## Tables`), up to the next one of its level or above."""
    level = heading.partition(" ")[0]
    found = re.search(rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    return found[1]


def _rows(section: str) -> list[list[str]]:
    """The cells of all tables of a section, without their heads."""
    rows: list[list[str]] = []
    in_table = False
    for line in section.splitlines():
        if re.fullmatch(r"\|[-|]+\|", line):
            in_table = True
        elif not line.startswith("|"):
            in_table = False
        elif in_table:
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def _codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def _named(section: str) -> list[str]:
    """What the first cells of a section's tables name in code, in order of the text."""
    return [code for row in _rows(section) for code in _codes(row[0])]


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _walk(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, child in getattr(command, "commands", {}).items():
        inner = f"{path} {name}".strip()
        if getattr(child, "commands", None):
            yield from _walk(child, inner)
        else:
            yield inner, child


COMMANDS = dict(_walk(typer.main.get_command(app)))


def test_every_command_has_a_section_and_no_other_has() -> None:
    """The headings below Commands are the commands, neither more nor fewer."""
    headings = re.findall(r"^### `(.+)`$", _section(REFERENCE, "## Commands"), re.MULTILINE)
    assert sorted(COMMANDS) == sorted(headings)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_stands_in_its_commands_table(path: str) -> None:
    """A command's table names its options and their short forms, neither more nor fewer; arguments are in the text."""
    section = _section(REFERENCE, f"### `{path}`")
    parameters = COMMANDS[path].params
    options = [p for p in parameters if p.param_type_name == "option"]
    assert sorted(word for p in options for word in (*p.opts, *p.secondary_opts)) == sorted(_named(section))
    for argument in (p for p in parameters if p.param_type_name == "argument"):
        assert re.search(rf"`\./chunk-sync {path}( [A-Z_]+)* \[?{argument.name.upper()}\]?( [A-Z_]+)*`", section)


def test_settings_are_the_ones_that_the_code_reads() -> None:
    """Names and defaults in the reference are those of the table in settings.py."""
    code = [(row[0], row[1]) for row in _rows(settings.__doc__ or "")]
    assert len(code) > 10
    assert code == [(row[0].strip("`"), row[1]) for row in _rows(_section(REFERENCE, "## Settings"))]


def test_no_document_names_a_variable_that_nobody_reads() -> None:
    """Every CHUNK_SYNC_ name in the documents stands in settings.py, local/ or the tests' own plugin."""
    readers = [
        PROJECT_ROOT / "chunk_sync" / "settings.py",
        *(PROJECT_ROOT / "chunk_sync" / "local").glob("*.py"),
        PROJECT_ROOT / "chunk_sync_tests" / "postgres_plugin.py",
    ]
    known = {name for path in readers for name in _variables(path)}
    unknown = {(_name(path), name) for path in DOCUMENTS for name in _variables(path) - known}
    assert set() == unknown


def _variables(path: Path) -> set[str]:
    return set(re.findall(r"\bCHUNK_SYNC_[A-Z_]*[A-Z]\b", path.read_text("utf-8")))


@pytest.mark.parametrize(("heading", "kind"), [("## Tables", "r"), ("## Views", "v")])
def test_every_table_and_view_has_a_line(database: Database, heading: str, kind: str) -> None:
    """The reference lists the relations of the schema, neither more nor fewer."""
    rows = database.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'chunk_sync'::regnamespace AND relkind = %s", (kind,)
    )
    assert sorted(row["relname"] for row in rows) == sorted(_named(_section(REFERENCE, heading)))


def test_every_function_has_a_line_with_its_arguments(database: Database) -> None:
    """The reference lists the functions of the schema with the names of what they take."""
    rows = database.execute(
        "SELECT proname AS name, (coalesce(proargnames, '{}'))[1:pronargs] AS arguments FROM pg_proc"
        " WHERE pronamespace = 'chunk_sync'::regnamespace"
    )
    signatures = [f"{row['name']}({', '.join(row['arguments'])})" for row in rows]
    assert sorted(signatures) == sorted(_named(_section(REFERENCE, "## Functions")))


def test_every_type_has_a_line_with_its_labels(database: Database) -> None:
    """The reference lists the enumerations with their labels in order."""
    rows = database.execute(
        "SELECT t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels"
        " FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid"
        " WHERE t.typnamespace = 'chunk_sync'::regnamespace GROUP BY t.typname"
    )
    listed = {_codes(row[0])[0]: _codes(row[1]) for row in _rows(_section(REFERENCE, "## Types"))}
    assert {row["name"]: row["labels"] for row in rows} == listed


def test_every_sqlstate_has_a_line() -> None:
    """The codes that our functions raise are the ones that the reference explains."""
    raised = {
        code
        for path in (sql_folder() / "functions").glob("*.sql")
        for code in re.findall(r"ERRCODE = '(\w+)'", path.read_text("utf-8"))
    }
    assert raised
    assert raised == set(re.findall(r"`(CS\d+)`", _section(REFERENCE, "## SQLSTATEs")))


def test_the_retry_table_is_the_databases(database: Database) -> None:
    """Delays and limits in the concepts are what the rows of retry_policies make."""
    policies = database.execute(
        "SELECT p.category::text, p.retryable, p.attempts_limit,"
        " coalesce(p.delays_ms, ARRAY(SELECT backoff_ms(p, n) FROM generate_series(1, 3) AS n)) AS delays_ms"
        " FROM retry_policies AS p WHERE p.tenant_id IS NULL"
    )
    expected = {
        f"`{row['category']}`": [
            ", ".join(f"{ms // 1000} s" for ms in row["delays_ms"] if row["retryable"]) or "-",
            "`max_attempts`" if row["attempts_limit"] is None else str(row["attempts_limit"]),
        ]
        for row in policies
    }
    section = _section(CONCEPTS, "## When an attempt fails")
    assert expected == {row[0]: row[1:3] for row in _rows(section)}


def _sql() -> Iterator[Any]:
    for path in DOCUMENTS:
        text = path.read_text("utf-8")
        for number, block in enumerate([*_blocks(text, "sql"), *re.findall(r'psql -c "([^"]+)"', text)], 1):
            yield pytest.param(block, id=f"{_name(path)}-{number}")


@pytest.fixture
def used_database(database: Database) -> Database:
    """The mailboxes that the documents speak of, with planned jobs; a chunk of the first job is a dead letter."""
    jobs = [make_job(database, make_mailbox(database, name)) for name in ("demo", "ann")]
    chunk = claim(database, jobs[0], open_worker(database))[0]
    fail_for_good(database, chunk)
    return database


@pytest.mark.parametrize("block", list(_sql()))
def test_every_sql_block_runs(used_database: Database, block: str) -> None:
    """What the documents tell people to run in psql runs there, as a client runs it."""
    with psycopg.connect(libpq_url(used_database.dsn)) as connection:
        connection.execute(block.encode())


def test_the_way_to_reopen_a_failed_chunk_works(used_database: Database) -> None:
    """The statement that the documents give for dead letters makes the chunk pending and opens the job."""
    section = _section((PROJECT_ROOT / "docs" / "how-to.md").read_text("utf-8"), "## When a chunk failed")
    reopen = next(block for block in _blocks(section, "sql") if "reopen_chunk" in block)
    with psycopg.connect(libpq_url(used_database.dsn)) as connection:
        assert [("failed",)] == connection.execute(reopen.encode()).fetchall()
    left = used_database.execute("SELECT count(*) AS n FROM chunk_processing_queue WHERE status = 'failed'")
    assert [{"n": 0}] == left


@DAGSTERS_OWN
def test_every_asset_job_sensor_and_schedule_is_described() -> None:
    """The lists of the section Dagster are the definitions, neither more nor fewer."""
    section = _section(REFERENCE, "## Dagster")
    keys = [spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()]
    assert sorted(keys) == sorted(_codes(row[0])[0] for row in _rows(_section(section, "### Assets")))
    assert sorted(job.name for job in defs.jobs or []) == sorted(_named(_section(section, "### Jobs")))
    automation = _section(section, "### Sensors and schedules")
    assert sorted(sensor.name for sensor in defs.sensors or []) == sorted(_named(automation))
    for schedule in defs.schedules or []:
        assert f"`{schedule.name}`" in automation
    assert f"named `{PARTITIONS_NAME}`" in section


@DAGSTERS_OWN
def test_every_op_is_described() -> None:
    """The reference names the ops of every job."""
    ops = {node.name for job in defs.jobs or [] for node in defs.resolve_job_def(job.name).all_node_defs}
    assert {"claim_chunks", "process_chunks", "complete_chunks"} < ops
    assert set() == {op for op in ops if f"`{op}`" not in _section(REFERENCE, "## Dagster")}


def test_every_run_tag_has_a_line() -> None:
    """The tags that our code writes or reads are the ones that the reference lists."""
    sources = (path.read_text("utf-8") for path in (PROJECT_ROOT / "chunk_sync" / "defs").glob("*.py"))
    tags = {tag for source in sources for tag in re.findall(r'"((?:chunk_sync|dagster)/[a-z_]+)"', source)}
    assert len(tags) > 5
    assert tags == set(_named(_section(REFERENCE, "### Run tags")))


def _links() -> Iterator[Any]:
    for path in DOCUMENTS:
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)", _prose(path.read_text("utf-8"))):
            if "://" not in target:
                yield pytest.param(path, target, id=f"{_name(path)}-{target}")


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _prose(path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("path", "target"), list(_links()))
def test_every_relative_link_resolves(path: Path, target: str) -> None:
    """A link leads to a file that is there, and its anchor to a heading of that file."""
    name, _, anchor = target.partition("#")
    file = (path.parent / name).resolve() if name else path
    assert file.is_file()
    assert not anchor or anchor in _anchors(file)


def test_the_documents_show_the_pictures() -> None:
    """README and the page on the UI show exactly these pictures, and they are there."""
    shown = {
        (path.parent / target).resolve().relative_to(PROJECT_ROOT).as_posix()
        for path in DOCUMENTS
        for target in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", path.read_text("utf-8"))
    }
    assert PICTURES == shown
    assert set() == {picture for picture in PICTURES if not (PROJECT_ROOT / picture).is_file()}


def test_the_two_commands_stand_on_the_first_screen() -> None:
    """Who opens README sees at once how to start it and how to test it."""
    top = "\n".join((PROJECT_ROOT / "README.md").read_text("utf-8").splitlines()[:FIRST_SCREEN])
    words = [line.split()[:3] for line in _blocks(top, "sh")[0].splitlines()]
    assert [["./chunk-sync", "up", "--demo"], ["./chunk-sync", "test", "#"]] == words


def test_no_document_holds_a_hidden_note() -> None:
    """What is not for readers is not in the text."""
    assert [] == [_name(path) for path in DOCUMENTS if "<!--" in path.read_text("utf-8")]


def test_the_changelog_knows_this_version() -> None:
    """The newest entry is this version's."""
    versions = re.findall(r"^## \[(.+?)\]", (PROJECT_ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert __version__ == versions[0]
