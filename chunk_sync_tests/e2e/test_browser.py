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
from chunk_sync_tests.e2e.browser import Ui, open_browser, open_page
from chunk_sync_tests.e2e.installation import ONE_AT_A_TIME, Installation
from chunk_sync_tests.postgres_plugin import scratch_folder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.needs("chromium"), ONE_AT_A_TIME]

MESSAGES = 600
WAIT = 120.0
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
        jobs = json.loads(running.cli("status", "--json").stdout)
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
    ui.show("View").click()  # in the notice of the run
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
    """The asset graph shows the four assets in their groups, and how full they are."""
    ui.go("/asset-groups")
    ui.show("Materialize all", exact=False)
    ui.icon("panel_show_right").click()
    ui.icon("settings").click()
    ui.page.get_by_role("menuitem", name="Expand all groups").click()
    for asset in ("mailboxes", "planned_chunks", "synced_emails", "queue_health"):
        ui.show(asset)
    ui.show("100% filled")
    ui.page.keyboard.press("Escape")
    ui.page.get_by_role("menuitem").first.wait_for(state="hidden")
    ui.show("queue_health").click(trial=True)  # once the graph stands still
    ui.page.mouse.move(700, 700)
    ui.picture("lineage")


def test_launchpad_requests_a_sync(ui: Ui, installation: Installation) -> None:
    """The launchpad's configuration is ready to launch; the sensors do the rest."""
    before = one(installation, "SELECT max(id) AS id FROM sync_jobs")["id"]
    ui.go("/locations/chunk_sync/jobs/request_sync/playground")
    ui.show("No errors")
    ui.press("Launch Run")
    ui.page.wait_for_url(re.compile(r"/runs/"))
    run = re.search(r"/runs/([0-9a-f-]+)", ui.page.url)
    assert run
    find = "SELECT id, requested_by FROM sync_jobs WHERE id > %s"
    (job,) = installation.wait_for(lambda: installation.database.execute(find, (before,)) or None, WAIT, "sync job")
    assert f"dagster run {run[1]}" == job["requested_by"]
    assert "completed" == installation.wait_until_ended(job["id"], WAIT).status
    ui.show("RUN_SUCCESS")


def test_partition_is_materialized_by_hand(ui: Ui, installation: Installation) -> None:
    """A chosen chunk is synced again through the dialog: it changes nothing, and who did it is kept."""
    chunk = one(installation, "SELECT * FROM sync_chunks WHERE chunk_index = 2 ORDER BY id LIMIT 1")
    key = f"j{chunk['sync_job_id']:06d}-c000002"
    messages = one(installation, "SELECT count(*) AS count FROM message_locations")["count"]
    assert [] == installation.database.execute("SELECT id FROM audit_log")
    ui.go(f"{PARTITIONS}&partition={key}")
    ui.show("View all historical events (1)")
    ui.press(re.compile("^materialization Materialize|^Materialize"))
    ui.press("Launch 1 run")
    audited = "SELECT * FROM audit_log WHERE action = 'chunk_reopened'"
    (entry,) = installation.wait_for(lambda: installation.database.execute(audited) or None, WAIT, "audit row")
    assert {str(chunk["id"]): "completed"} == entry["details"]
    assert entry["run_id"]
    installation.wait_for(lambda: settled(installation) or None, WAIT, "end of the chosen chunk")
    again = one(installation, "SELECT * FROM sync_chunks WHERE id = %s", chunk["id"])
    assert (0, chunk["emails_inserted"]) == (again["emails_inserted"], again["emails_unchanged"])
    assert messages == one(installation, "SELECT count(*) AS count FROM message_locations")["count"]
    ui.go(f"{PARTITIONS}&partition={key}")
    ui.show("View all historical events (2)")
    ui.show("Failed (0)")
