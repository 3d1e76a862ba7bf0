"""The jobs that people and sensors launch beside the sync itself: request, plan, health."""

from __future__ import annotations

import dagster as dg
import pytest

from chunk_sync.defs.sensors import due_chunks, new_sync_jobs
from chunk_sync.engine.plan_job import PlanOutcome
from chunk_sync.errors import ErrorCategory
from chunk_sync.store.mailboxes import request_sync
from chunk_sync.store.plans import PlanResult
from chunk_sync_tests import factory
from chunk_sync_tests.defs.conftest import Edge, failure
from chunk_sync_tests.defs.memory_source import error_of
from chunk_sync_tests.landed_mail import land_mail


def values(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, dg.MetadataValue[object]]:
    """Read the metadata that a run gave an asset."""
    (event,) = result.asset_materializations_for_node(asset)
    return dict(event.metadata)


def test_request_goes_all_the_way(edge: Edge) -> None:
    """What the launchpad asks for is planned and synced by what the sensors ask for."""
    factory.make_mailbox(edge.database)
    edge.mail.messages = 450
    asked = edge.run("request_sync", run_config={"ops": {"request": {"config": {"mailbox": "box", "priority": 7}}}})
    assert asked.success
    row = factory.job_row(edge.database, 1)
    assert ("requested", 7, f"dagster run {asked.run_id}") == (row["status"], row["priority"], row["requested_by"])
    (plan,) = edge.tick(new_sync_jobs)
    planned = edge.launch(plan, "plan_sync_jobs")
    assert planned.success
    numbers = {name: value.value for name, value in values(planned, "planned_chunks").items()}
    assert {
        "sync jobs": 1,
        "chunks": 3,
        "emails": 450,
        "bytes": 450_000,
        "flags changed": 0,
        "vanished": 0,
    } == numbers
    (sync,) = edge.tick(due_chunks)
    assert edge.launch(sync).success
    row = factory.job_row(edge.database, 1)
    assert ("completed", 450) == (row["status"], row["emails_processed"])
    assert 450 == edge.database.execute("SELECT count(*) AS n FROM message_locations")[0]["n"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"mailbox": "nobody"}, "no mailbox 'nobody'; there are: box"),
        ({"mailbox": "box", "priority": 99}, "priority goes from 1 (last) to 30 (first)"),
        ({"mailbox": "box", "since": "yesterday"}, "yesterday"),
    ],
)
def test_request_that_makes_no_sense(edge: Edge, config: dict[str, object], expected: str) -> None:
    """A bad request fails its run with one clear line, at once, and leaves nothing behind."""
    factory.make_mailbox(edge.database)
    result = edge.run("request_sync", run_config={"ops": {"request": {"config": config}}})
    assert not result.success
    assert expected in failure(result)
    assert [] == edge.database.execute("SELECT id FROM sync_jobs")


def test_plan_without_configuration_takes_what_waits(edge: Edge) -> None:
    """Materializing planned_chunks by hand plans whatever was requested."""
    factory.make_mailbox(edge.database, "one")
    factory.make_mailbox(edge.database, "two")
    edge.mail.messages = 5
    for mailbox in ("one", "two"):
        request_sync(edge.database, mailbox)
    result = edge.run("plan_sync_jobs")
    assert 2 == values(result, "planned_chunks")["sync jobs"].value
    assert ["processing"] * 2 == [row["status"] for row in edge.database.execute("SELECT status FROM sync_jobs")]
    assert 0 == values(edge.run("plan_sync_jobs"), "planned_chunks")["sync jobs"].value


def test_empty_mailbox_completes(edge: Edge) -> None:
    """B22: a mailbox without messages is a job of no chunks, complete at once."""
    factory.make_mailbox(edge.database)
    request_sync(edge.database, "box")
    assert edge.run("plan_sync_jobs").success
    row = factory.job_row(edge.database, 1)
    assert ("completed", 0) == (row["status"], row["total_chunks"])
    assert [] == edge.tick(due_chunks)


def test_plan_that_fails_says_why(edge: Edge) -> None:
    """A mailbox that refuses its listing fails the plan run with category and reason; the others are planned."""
    factory.make_mailbox(edge.database)
    edge.mail.listing_error = error_of(ErrorCategory.PERMISSION)
    request_sync(edge.database, "box")
    result = edge.run("plan_sync_jobs")
    assert not result.success
    assert "job 1 (box): permission, now failed: the provider says permission" == failure(result)
    row = factory.job_row(edge.database, 1)
    assert ("failed", "permission") == (row["status"], row["error_category"])


def test_plan_that_may_be_tried_again_waits(edge: Edge) -> None:
    """A temporary failure leaves the job requested; the sensor asks again when it is due."""
    factory.set_clock(edge.database, "2026-01-01 12:00:00+00")
    factory.make_mailbox(edge.database)
    edge.mail.listing_error = error_of(ErrorCategory.TEMPORARY)
    request_sync(edge.database, "box")
    assert "now requested" in failure(edge.launch(edge.tick(new_sync_jobs)[0], "plan_sync_jobs"))
    assert [] == edge.tick(new_sync_jobs)
    factory.move_clock(edge.database, "5 s")
    edge.mail.listing_error = None
    assert edge.launch(edge.tick(new_sync_jobs)[0], "plan_sync_jobs").success


def test_health_in_numbers_and_pictures(edge: Edge) -> None:
    """queue_health shows numbers that Dagster can plot, a chart in Markdown and tables."""
    edge.plan(5)
    edge.mail.refuse(1)
    edge.launch(edge.tick(due_chunks)[0])
    result = edge.run("health")
    assert result.success
    shown = values(result, "queue_health")
    assert "warning" == shown["overall_health"].value
    numbers = {
        name: value.value
        for name, value in shown.items()
        if isinstance(value, dg.IntMetadataValue | dg.FloatMetadataValue)
    }
    assert numbers.pop("emails_per_second") > 0
    assert numbers == {
        "due_chunks": 0,
        "oldest_due_seconds": 0.0,
        "attempts_succeeded": 4,
        "attempts_failed": 1,
        "emails_last_hour": 8,
        "workers": 0,
        "chunks_held": 0,
        "mailboxes_paused": 0,
        "mailboxes_turned_away": 0,
    }
    chart = shown["chart"]
    assert isinstance(chart, dg.MarkdownMetadataValue)
    assert str(chart.value).startswith("![chunks by status](data:image/svg+xml;base64,")
    assert [{"error_category": "permission", "attempts": 1, "share": 1.0}] == records(shown["by_category"])
    (mailbox,) = records(shown["by_mailbox"])
    assert ("box", 4, 1) == (mailbox["mailbox"], mailbox["completed"], mailbox["failed"])


def test_plan_says_what_it_has_changed(edge: Edge) -> None:
    """Flags and deletions are done with the plan: its metadata and its log have their numbers."""
    changes = PlanOutcome(7, "box", "completed", result=PlanResult("completed", 0, 0, 0, flags_changed=3, vanished=2))
    quiet = PlanOutcome(8, "box", "processing", result=PlanResult("processing", 1, 5, 10))
    with pytest.MonkeyPatch.context() as patch:
        outcomes = iter([changes, quiet])
        patch.setattr("chunk_sync.defs.assets.plan_job", lambda *_: next(outcomes))
        result = edge.run(
            "plan_sync_jobs", run_config={"ops": {"planned_chunks": {"config": {"sync_job_ids": [7, 8]}}}}
        )
    shown = values(result, "planned_chunks")
    assert (3, 2) == (shown["flags changed"].value, shown["vanished"].value)
    said = [entry.user_message for entry in edge.instance.all_logs(result.run_id)]
    assert "job 7 (box): 0 messages in 0 chunks, 3 changed flags, 2 vanished" in said
    assert "job 8 (box): 5 messages in 1 chunks" in said


def test_mail_problems_in_numbers_and_ids(edge: Edge) -> None:
    """mail_problems shows counts that Dagster can plot, reasons, and the newest 50 by their ids and no more."""
    raws = [b"Subject: private %d\r\nDate: never\r\nFrom: who@example.com\r\n\r\nsecret\r\n" % n for n in range(55)]
    box = land_mail(edge.database, [*raws, b"\r\nno header", None], name="ann@example.com")
    shown = values(edge.run("health"), "mail_problems")
    assert (1, 55, 1) == tuple(shown[kind].value for kind in ("unparsable", "defective", "quarantined"))
    reasons = {(str(row["kind"]), str(row["reason"])): row["messages"] for row in records(shown["by_reason"])}
    assert 55 == reasons["defective", "bad-date"]
    assert 1 == reasons["quarantined", "larger than CHUNK_SYNC_MAX_MESSAGE_BYTES"]
    newest = shown["newest"]
    assert isinstance(newest, dg.MarkdownMetadataValue)
    head, _, *rows = str(newest.value).splitlines()
    assert "| mailbox_id | folder_id | uid | message_id | kind | reasons | size | noticed_at |" == head
    assert 50 == len(rows)
    assert all(row.startswith(f"| {box.id} |") for row in rows)
    assert [] == [word for word in ("private", "secret", "@", "INBOX") if word in str(shown)]


def test_health_of_nothing(edge: Edge) -> None:
    """An empty installation is healthy."""
    result = edge.run("health")
    problems = values(result, "mail_problems")
    assert (0, 0, 0) == tuple(problems[kind].value for kind in ("unparsable", "defective", "quarantined"))
    assert ("none", "none") == (problems["by_reason"].value, problems["newest"].value)
    shown = values(result, "queue_health")
    assert "healthy" == shown["overall_health"].value
    assert 0 == shown["due_chunks"].value
    assert "none" == shown["by_mailbox"].value


def records(value: dg.MetadataValue[object]) -> list[dict[str, object]]:
    """Read a table."""
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]
