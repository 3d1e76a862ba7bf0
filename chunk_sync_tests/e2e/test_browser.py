"""What a person sees and does in Dagster's UI, in a real browser, on a synced demo mailbox.

CHUNK_SYNC_SCREENSHOTS=FOLDER keeps the pictures: those in docs/images are made so.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chunk_sync.local.ports import choose_private_port
from chunk_sync.settings import variable
from chunk_sync.store.database import Row
from chunk_sync.store.status import open_job_ids, unsettled
from chunk_sync_tests.e2e.browser import LARGE, SMALL, Ui, open_browser, open_page
from chunk_sync_tests.e2e.installation import Installation
from chunk_sync_tests.postgres_plugin import scratch_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.needs("chromium")

MESSAGES = 600
WAIT = 120.0
MATERIALIZE = re.compile("^materialization Materialize|^Materialize")
PARTITIONS = "/assets/synced_emails?view=partitions"


@pytest.fixture(scope="module")
def url() -> str:
    """Choose where the UI will be."""
    return f"http://127.0.0.1:{choose_private_port()}"


@pytest.fixture(scope="module")
def installation(url: str) -> Iterator[Installation]:
    """`up --demo`, its mailbox synced."""
    words = ("--demo", "--demo-messages", str(MESSAGES), "--port", url.rpartition(":")[2])
    with scratch_folder() as folder, ExitStack() as stack:
        running = Installation(folder / "home", {"CHUNK_SYNC_CHUNK_MESSAGES": "50"}, words)
        stack.callback(lambda: running.stop(signal.SIGTERM))
        running.start()
        stack.callback(running.database.close)
        running.wait_for(lambda: settled(running) or None, WAIT, "complete sync of the demo mailbox")
        jobs = json.loads(running.cli("status", "--json").stdout)["jobs"]
        assert [("demo", "completed")] == [(job["mailbox"], job["status"]) for job in jobs]
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start one browser for all pages."""
    with open_browser() as browser:
        yield browser


@pytest.fixture
def ui(installation: Installation, browser: Browser, url: str, tmp_path: Path) -> Iterator[Ui]:
    """Open a page; afterwards it must not have failed, nor have called anybody but our own server."""
    kept = variable("CHUNK_SYNC_SCREENSHOTS")
    with open_page(browser, url, [tmp_path, *([Path(kept)] if kept else [])]) as ui:
        yield ui
        assert [] == ui.errors
        assert [] == ui.strangers


def settled(installation: Installation) -> bool:
    """Tell whether every sync job has ended and Dagster has been told of all."""
    return not open_job_ids(installation.database) and not unsettled(installation.database)


def one(installation: Installation, sql: str, *parameters: object) -> Row:
    """Read one row."""
    (row,) = installation.database.execute(sql, parameters)  # type: ignore[arg-type]
    return row


def test_partitions_tab_counts_as_the_database_does(ui: Ui, installation: Installation) -> None:
    """Each chunk is a partition of the right colour, and a chosen one shows its numbers."""
    counted = one(
        installation,
        "SELECT count(*) FILTER (WHERE status = 'completed') AS done, count(*) FILTER (WHERE status = 'failed') AS bad,"
        " count(*) AS total FROM chunk_processing_queue",
    )
    assert counted["done"] == counted["total"] > 10
    chunk = one(installation, "SELECT * FROM sync_chunks WHERE chunk_index = 3 ORDER BY id LIMIT 1")
    ui.go(f"{PARTITIONS}&partition=j{chunk['sync_job_id']:06d}-c000003")
    ui.show(f"Materialized ({counted['done']})")
    ui.show(f"Failed ({counted['bad']})")
    ui.show("Missing (0)")
    ui.show("Materializing (0)")
    ui.show(f"{counted['total']} Partitions Selected")
    row = ui.page.get_by_role("row").filter(has_text="emails").first
    row.filter(has_text=str(chunk["emails_inserted"])).wait_for()
    ui.picture("partitions")


def test_run_page_shows_the_three_ops(ui: Ui, installation: Installation) -> None:
    """A sync run is claim_chunks -> process_chunks -> complete_chunks, asked for by the sensor."""
    run = one(installation, "SELECT run_id FROM workers WHERE name LIKE 'run-%%' ORDER BY id LIMIT 1")["run_id"]
    ui.go(f"/runs/{run}")
    ui.show("RUN_SUCCESS")
    ui.show("Launched by due_chunks", exact=False)
    ui.icon("gantt_waterfall").click()
    places = [ui.show(f"synced_emails.{op}") for op in ("claim_chunks", "process_chunks", "complete_chunks")]
    lefts = [box["x"] for box in (place.bounding_box() for place in places) if box]
    assert 3 == len(lefts)
    assert sorted(lefts) == lefts
    ui.page.mouse.move(0, 0)
    ui.picture("run")


def test_health_asset_can_be_materialized_and_shows_a_chart(ui: Ui) -> None:
    """One click computes queue_health; its numbers and tables are on the page, the chart a click away."""
    ui.go("/assets/queue_health")
    ui.press("Materialize")
    sure, told = ui.page.get_by_role("button", name="Confirm"), ui.page.get_by_text("View", exact=True).first
    sure.or_(told).first.wait_for()
    if sure.is_visible():  # what it is computed from has not been yet: the schedule's first time is still to come
        sure.click()
    told.click()  # in the notice of the run
    ui.show("RUN_SUCCESS")
    ui.go("/assets/queue_health")
    ui.show("overall_health")
    ui.show("[Show Markdown]").click()
    picture = ui.page.get_by_role("dialog").get_by_role("img", name="chunks by status")
    picture.wait_for()
    assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth }") > 300
    ui.press("Close")
    ui.page.get_by_role("dialog").wait_for(state="hidden")
    for section in ("Status", "Description"):
        ui.show(section).click()  # folded away, so that the whole table is seen
    ui.picture("health")


def test_lineage_from_mailboxes_to_health(ui: Ui) -> None:
    """The asset graph shows all assets in their groups, from the mailboxes to the verdict."""
    ui.page.set_viewport_size(LARGE)
    ui.go("/asset-groups")
    ui.show("Materialize all", exact=False)
    ui.icon("panel_show_right").click()
    ui.icon("settings").click()
    ui.page.get_by_role("menuitem", name="Expand all groups").click()
    for asset in ("mailboxes", "planned_chunks", "synced_emails", "chunk_attempts", "queue_health", "system_health"):
        ui.show(asset)
    ui.page.keyboard.press("Escape")
    ui.page.get_by_role("menuitem").first.wait_for(state="hidden")
    ui.show("queue_health").click(trial=True)  # once the graph stands still
    ui.page.mouse.move(700, 700)
    ui.picture("lineage")


@pytest.fixture
def desk(ui: Ui) -> Ui:
    """A smaller page: what a person does on it is shown in docs/ui.md."""
    ui.page.set_viewport_size(SMALL)
    return ui


def audited(installation: Installation, run_id: str) -> Row:
    """Wait for the row that a run leaves in the audit log."""
    query = "SELECT * FROM audit_log WHERE actor = %s"
    named = (f"dagster run {run_id}",)
    return installation.wait_for(lambda: installation.database.execute(query, named) or None, WAIT, "audit row")[0]


def first_job(installation: Installation) -> int:
    """The sync job that `--demo` asked for."""
    return one(installation, "SELECT min(id) AS id FROM sync_jobs")["id"]


def test_launchpad_requests_a_sync(desk: Ui, installation: Installation) -> None:
    """The launchpad's configuration is ready to launch; the sensors do the rest."""
    desk.go("/locations/chunk_sync/jobs/request_sync/playground")
    desk.show("No errors")
    assert desk.page.get_by_text("execution:").count() == desk.page.get_by_text("loggers:").count() == 0
    desk.picture_of_launchpad("ui-launchpad")
    desk.press("Launch Run")
    entry = audited(installation, desk.run_id())
    assert "sync_requested" == entry["action"]
    assert "completed" == installation.wait_until_ended(entry["sync_job_id"], WAIT).status
    desk.show("RUN_SUCCESS")
    desk.picture("ui-run")


def test_partition_is_materialized_by_hand(desk: Ui, installation: Installation) -> None:
    """A chosen chunk is synced again through the dialog: it changes nothing, and who did it is kept."""
    chunk = one(installation, "SELECT * FROM sync_chunks WHERE chunk_index = 2 ORDER BY id LIMIT 1")
    key = f"j{chunk['sync_job_id']:06d}-c000002"
    messages = one(installation, "SELECT count(*) AS count FROM message_locations")["count"]
    desk.go(f"{PARTITIONS}&partition={key}")
    desk.show("View all historical events (1)")
    desk.press(MATERIALIZE)
    desk.show("Launch 1 run")
    desk.picture("ui-materialize")
    desk.press("Launch 1 run")
    query = "SELECT * FROM audit_log WHERE action = 'chunk_reopened'"
    (entry,) = installation.wait_for(lambda: installation.database.execute(query) or None, WAIT, "audit row")
    assert {str(chunk["id"]): "completed"} == entry["details"]
    assert entry["run_id"]
    installation.wait_for(lambda: settled(installation) or None, WAIT, "end of the chosen chunk")
    again = one(installation, "SELECT * FROM chunk_processing_queue WHERE chunk_id = %s", chunk["id"])
    assert (0, chunk["estimated_emails"]) == (again["emails_inserted"], again["emails_unchanged"])
    assert messages == one(installation, "SELECT count(*) AS count FROM message_locations")["count"]
    desk.go(f"{PARTITIONS}&partition={key}")
    desk.show("View all historical events (2)")
    desk.show("Failed (0)")


def test_scattered_failed_partitions_are_retried_by_clicking(desk: Ui, installation: Installation) -> None:
    """Chunks fail here and there; the dialog's own choice of the failed ones makes them, and only them, green again."""
    job_id, failing = first_job(installation), [1, 4, 5, 8]
    broken = break_chunks(installation, job_id, failing)
    run_id = desk.launch("resync_chunks", "resync", {"sync_job": job_id, "chunks": []}, "ui-resync")
    assert "chunks_reopened" == audited(installation, run_id)["action"]
    installation.wait_for(lambda: (settled(installation) and failed(installation) == failing) or None, WAIT, "failures")
    desk.go(PARTITIONS)
    desk.show("Failed (4)")
    desk.picture("ui-failed")
    for path, aside in broken.items():
        path.rmdir()
        aside.rename(path)
    desk.press(MATERIALIZE)
    dialog = desk.page.get_by_role("dialog")
    dialog.get_by_text("Failed", exact=True).click()
    dialog.get_by_text("4 partitions", exact=False).first.wait_for()
    desk.picture("ui-backfill")
    desk.press("Launch backfill")
    installation.wait_for(lambda: (not failed(installation) and settled(installation)) or None, WAIT, "retry")
    entries = installation.database.execute(
        "SELECT run_id, details FROM audit_log WHERE action = 'chunk_reopened' AND reason = 'materialized by hand'"
        " AND details::text LIKE '%%failed%%'"
    )
    assert [["failed"]] * 4 == [list(entry["details"].values()) for entry in entries]
    assert 3 == len({entry["run_id"] for entry in entries})  # a run for each range: 1, 4 and 5, 8
    desk.go(PARTITIONS)
    desk.show("Failed (0)")
    desk.show("Missing (0)")
    desk.show("Materializing (0)")


def break_chunks(installation: Installation, job_id: int, indexes: list[int]) -> dict[Path, Path]:
    """Make a message of each of these chunks unreadable; returns its file and where that is meanwhile."""
    maildir = installation.home / "demo" / "Maildir"
    files = {path.name.partition(":")[0]: path for path in maildir.rglob("*") if path.is_file()}
    broken: dict[Path, Path] = {}
    for index in indexes:
        query = "SELECT provider_ids[1] AS name FROM sync_chunks WHERE sync_job_id = %s AND chunk_index = %s"
        path = files[one(installation, query, job_id, index)["name"]]
        broken[path] = path.rename(installation.home / f"aside-{index}")
        path.mkdir()
    return broken


def failed(installation: Installation) -> list[int]:
    """Indexes of chunks that are dead letters."""
    query = "SELECT chunk_index AS i FROM chunk_processing_queue WHERE status = 'failed' ORDER BY 1"
    return [row["i"] for row in installation.database.execute(query)]


def test_every_decision_from_its_launchpad(desk: Ui, installation: Installation) -> None:
    """Pause, ask, change the priority, cancel, archive, resume, recover: each run says in the audit log what it did."""

    def decide(job: str, op: str, **config: object) -> Row:
        entry = audited(installation, desk.launch(job, op, config, f"ui-{op}"))
        desk.show("RUN_SUCCESS")
        return entry

    assert "sync_paused" == decide("pause_sync", "pause", mailbox="demo", reason="the server is moved")["action"]
    asked = decide("request_sync", "request", mailbox="demo", priority=10)["sync_job_id"]
    assert {"was": 10, "priority": 30} == decide("change_priority", "prioritize", sync_job=asked, priority="urgent")[
        "details"
    ]
    cancelled = decide("cancel_sync", "cancel", sync_job=asked, reason="asked for by mistake")
    assert ("sync_cancelled", asked) == (cancelled["action"], cancelled["sync_job_id"])
    assert "cancelled" == installation.job(asked).status
    assert "sync_job_archived" == decide("archive_sync_job", "archive", sync_job=asked)["action"]
    assert "sync_resumed" == decide("resume_sync", "resume", mailbox="demo")["action"]
    assert "recovered_by_hand" == decide("recover_stuck_chunks", "recover", silent_minutes=0)["action"]


def test_decision_that_makes_no_sense_says_why(desk: Ui, installation: Installation) -> None:
    """Nothing has failed: the run's page has our one line, and the audit log nothing."""
    run_id = desk.launch("retry_failed_chunks", "retry", {"sync_job": first_job(installation)}, "ui-retry")
    desk.show("RUN_FAILURE")
    desk.show("has no failed chunks, it is completed: re-sync it to fetch it all again", exact=False)
    desk.picture("ui-refused")
    assert [] == installation.database.execute("SELECT id FROM audit_log WHERE run_id = %s", (run_id,))


def test_invented_partition_fails_with_a_clear_message(desk: Ui) -> None:
    """The dialog can add any key: materializing it fails, and its run's page says why."""
    desk.go(PARTITIONS)
    desk.press(MATERIALIZE)
    desk.show("Add a partition").click()
    desk.page.get_by_role("textbox", name="name", exact=True).fill("tomorrow")
    desk.picture("ui-invented")
    desk.press("Save")
    desk.page.get_by_role("textbox", name="name", exact=True).wait_for(state="hidden")
    desk.go(f"{PARTITIONS}&partition=tomorrow")
    desk.press(MATERIALIZE)
    desk.press("Launch 1 run")
    desk.show("View").click()  # in the notice of the run
    desk.show("RUN_FAILURE")
    desk.show("no chunk has the partition key tomorrow: keys come from planned sync jobs", exact=False)
    desk.picture("ui-invented-run")
