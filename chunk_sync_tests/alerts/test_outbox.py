"""Alerts as rows on a real PostgreSQL: opened once, told once, retried, and never sent by two at a time."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from chunk_sync.alerts import evaluate as use_case
from chunk_sync.alerts.evaluate import LEASE_SECONDS, deliver, evaluate, retry_in, summary
from chunk_sync.alerts.message import Message
from chunk_sync.alerts.send import send
from chunk_sync.store import alert_rules, alerts
from chunk_sync.store.alerts import MAX_ATTEMPTS
from chunk_sync.store.database import Database, query
from chunk_sync_tests.alerts.conftest import ME, Desk, pick
from chunk_sync_tests.alerts.receivers import PATIENT, hanging_port, http_sink, smtp_sink
from chunk_sync_tests.factory import claim, fail_for_good, make_job, make_mailbox, move_clock, open_worker
from chunk_sync_tests.servers.process import wait_until

WARN = "warn: sla_at_risk (tenant default)"
OVER = "resolved: sla_at_risk (tenant default)"


def test_from_the_first_look_to_the_recovery(desk: Desk) -> None:
    """One row an alert, one message when it opens and one when it ends, whatever the number of looks."""
    desk.route()
    assert [] == desk.tick()
    desk.alarm()
    assert [("ops", WARN)] == desk.tick()
    move_clock(desk.database, "30 s")
    assert [] == desk.tick()
    (alert,) = desk.rows("alerts")
    assert ("sla_at_risk", "warn", 2, None) == pick(alert, "signal", "level", "times_seen", "resolved_at")
    assert "1 promises, the first: late (more than 0)" == alert["message"]
    desk.calm()
    move_clock(desk.database, "4 min 59 s")
    assert [] == desk.tick()
    move_clock(desk.database, "1 s")
    assert [("ops", OVER)] == desk.tick()
    (alert,) = desk.rows("alerts")
    assert timedelta(minutes=5, seconds=30) == alert["resolved_at"] - alert["opened_at"]
    assert [("opened", "sent"), ("resolved", "sent")] == [pick(row, "kind", "status") for row in desk.rows()]
    assert [] == desk.tick()


def test_dead_letters_of_the_queue_are_an_alert(desk: Desk) -> None:
    """What the view says of real chunks becomes a message."""
    desk.route()
    job = make_job(desk.database, make_mailbox(desk.database))
    fail_for_good(desk.database, claim(desk.database, job, open_worker(desk.database))[0])
    assert ("ops", "warn: dead_letters (tenant default)") in desk.tick()


def test_each_tenants_route_gets_its_own(desk: Desk) -> None:
    """A tenant's route hears of that tenant only, a route without one of all, one for critical ones of those."""
    make_mailbox(desk.database, tenant="acme")
    desk.route("all")
    desk.route("acme", tenant="acme")
    desk.route("other", tenant="default")
    desk.route("worst", min_level="critical")
    desk.alarm("acme")
    assert {("all", "warn: sla_at_risk (tenant acme)"), ("acme", "warn: sla_at_risk (tenant acme)")} == set(desk.tick())
    desk.alarm("default", level="critical")
    said = "critical: sla_broken (tenant default)"
    assert {("all", said), ("other", said), ("worst", said)} == set(desk.tick())


def test_acknowledged_silenced_and_repeated(desk: Desk) -> None:
    """A repetition comes when it is due, not while it is silenced, and not once somebody looks after it."""
    desk.route(repeat_every=timedelta(hours=1))
    desk.alarm()
    desk.tick()
    move_clock(desk.database, "1 hour")
    assert [("ops", "still " + WARN)] == desk.tick()
    alert_rules.add_silence(desk.database, timedelta(hours=2), ME, tenant="default", signal="sla_at_risk")
    move_clock(desk.database, "90 min")
    assert [] == desk.tick()
    assert [("repeated", "suppressed", "silenced")] == [
        pick(row, "kind", "status", "why") for row in desk.rows(status="suppressed")
    ]
    move_clock(desk.database, "31 min")
    assert [("ops", "still " + WARN)] == desk.tick()
    (alert,) = desk.rows("alerts")
    assert "sla_at_risk" == alert_rules.acknowledge(desk.database, alert["id"], ME)
    move_clock(desk.database, "2 hours")
    assert [] == desk.tick()
    assert ["tester"] == [row["acknowledged_by"] for row in desk.rows("alerts")]


def test_an_alert_that_grows_worse_is_nobodys_again(desk: Desk) -> None:
    """Who looked after a warning did not know of this."""
    desk.route()
    desk.alarm()
    desk.tick()
    alert_rules.acknowledge(desk.database, desk.rows("alerts")[0]["id"], ME)
    assert [] == desk.tick()
    assert desk.rows("alerts", acknowledged_by="tester")
    desk.database.execute("UPDATE health_thresholds SET critical_above = 0 WHERE signal = 'sla_at_risk'")
    assert [("ops", "worse, critical: sla_at_risk (tenant default)")] == desk.tick()
    (alert,) = desk.rows("alerts")
    assert ("critical", None, None) == pick(alert, "level", "acknowledged_at", "acknowledged_by")


def test_a_silence_that_is_ended_lets_through(desk: Desk) -> None:
    """What it held back goes out at the next look."""
    desk.route()
    row = alert_rules.add_silence(desk.database, timedelta(days=1), ME)
    desk.alarm()
    assert [] == desk.tick()
    alert_rules.end_silence(desk.database, row["id"], ME)
    assert [("ops", WARN)] == desk.tick()


def test_the_limit_counts_messages_of_the_last_hour(desk: Desk) -> None:
    """Beyond it they are held back, and go out an hour later."""
    desk.route(max_per_hour=2)
    for tenant in ("a", "b", "c"):
        make_mailbox(desk.database, tenant=tenant)
        desk.alarm(tenant)
    assert 2 == len(desk.tick())
    assert [("suppressed", "rate_limit")] == [pick(row, "status", "why") for row in desk.rows()][2:]
    move_clock(desk.database, "30 min")
    assert [] == desk.tick()
    move_clock(desk.database, "31 min")
    assert [("ops", "warn: sla_at_risk (tenant c)")] == desk.tick()


def test_a_failure_is_a_row_and_is_retried_later_and_later(desk: Desk) -> None:
    """The error stands beside the message; the next attempt comes after 10 s, then 20 s, and then it is sent."""
    desk.route()
    desk.alarm()
    desk.errors["ops"] = "503"
    assert [] == desk.tick()
    assert [("waiting", 1, "503")] == [pick(row, "status", "attempts", "last_error") for row in desk.rows()]
    assert [] == desk.tick()
    assert 1 == desk.rows()[0]["attempts"]
    move_clock(desk.database, "10 s")
    desk.tick()
    assert ("waiting", 2) == pick(desk.rows()[0], "status", "attempts")
    desk.errors = {}
    move_clock(desk.database, "19 s")
    assert [] == desk.tick()
    move_clock(desk.database, "1 s")
    assert [("ops", WARN)] == desk.tick()
    assert [("sent", 3, None)] == [pick(row, "status", "attempts", "last_error") for row in desk.rows()]


def test_after_the_last_attempt_it_is_given_up_and_alarming_itself(desk: Desk) -> None:
    """A route that takes nothing does not hide: a signal says so through those that do, and that one ends by itself."""
    desk.route("broken")
    desk.route("works", min_level="critical")
    desk.route("works-too")
    desk.errors["broken"] = "no such token"
    desk.alarm()
    desk.tick()
    for attempt in range(1, MAX_ATTEMPTS):
        desk.database.execute("UPDATE alert_deliveries SET next_at = clock() WHERE status = 'waiting'")
        assert attempt == desk.rows(route="broken")[0]["attempts"]
        desk.deliver()
    assert ("failed", MAX_ATTEMPTS, "no such token") == pick(desk.rows()[0], "status", "attempts", "last_error")
    assert [("works-too", "warn: deliveries_failed")] == desk.tick()
    # Its own message to the broken route is given up too, which does not keep it alive.
    desk.database.execute("UPDATE alert_deliveries SET attempts = 99, next_at = clock() WHERE status = 'waiting'")
    move_clock(desk.database, "55 min")
    desk.tick()
    assert ["failed", "failed"] == [row["status"] for row in desk.rows(route="broken")]
    move_clock(desk.database, "6 min")
    desk.look()
    assert ["sla_at_risk"] == [alert["signal"] for alert in desk.rows("alerts", resolved_at=None)]


def test_backoff() -> None:
    """Twice as long each time, a quarter of an hour at most; all attempts together take two hours."""
    waits = [retry_in(attempt).total_seconds() for attempt in range(1, MAX_ATTEMPTS)]
    assert [10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900] == waits
    assert retry_in(10**6) == timedelta(minutes=15)


def test_a_route_whose_url_cannot_be_had(desk: Desk) -> None:
    """The message waits and says why."""
    desk.route()
    desk.urls.clear()
    desk.alarm()
    assert [] == desk.tick()
    assert [("waiting", "env:OPS is not set")] == [pick(row, "status", "last_error") for row in desk.rows()]


def test_a_broken_route_leaves_the_others_their_time(desk: Desk) -> None:
    """It is tried once a tick, however much waits for it."""
    for tenant in ("a", "b", "c"):
        make_mailbox(desk.database, tenant=tenant)
        desk.alarm(tenant)
    desk.route("broken")
    desk.route("works")
    desk.errors["broken"] = "away"
    assert [("works", f"warn: sla_at_risk (tenant {name})") for name in "abc"] == sorted(desk.tick())
    assert [1, 0, 0] == [row["attempts"] for row in desk.rows(route="broken")]


def test_messages_of_an_alert_keep_their_order(desk: Desk) -> None:
    """The end of an alert is not told before its beginning, which was late."""
    desk.route()
    desk.errors["ops"] = "away"
    desk.alarm()
    desk.tick()
    desk.calm()
    move_clock(desk.database, "5 min")
    desk.look()
    desk.database.execute("UPDATE alert_deliveries SET next_at = clock() + interval '1 min' WHERE kind = 'opened'")
    desk.errors = {}
    desk.deliver()
    assert [] == desk.sent
    move_clock(desk.database, "1 min")
    desk.deliver()
    assert [("ops", WARN), ("ops", OVER)] == desk.sent


def test_two_that_look_at_once_open_one_alert(desk: Desk) -> None:
    """Eight looks at the same moment: one alert and one message."""
    desk.route()
    desk.alarm()
    with ThreadPoolExecutor(8) as pool:
        changes = list(pool.map(lambda _: evaluate(desk.database), range(8)))
    assert 1 == sum(len(change.opened) for change in changes)
    assert ([8], 1) == ([alert["times_seen"] for alert in desk.rows("alerts")], len(desk.rows()))


def test_a_look_waits_for_another(desk: Desk) -> None:
    """Two would each count the messages of the hour without the other's."""
    waiting = (
        "SELECT count(*) AS n FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
        " WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted"
    )
    with ThreadPoolExecutor(1) as pool:
        with desk.database.transaction() as conn:
            conn.execute(query("alert_lock"))
            look = pool.submit(desk.look)
            assert wait_until(lambda: desk.database.execute(waiting) == [{"n": 1}], 60)
            assert not look.done()
        look.result(60)


def test_two_that_send_at_once_send_each_message_once(desk: Desk) -> None:
    """Twenty messages, four senders that all begin before any has ended."""
    for number in range(20):
        make_mailbox(desk.database, tenant=f"t{number}")
        desk.alarm(f"t{number}")
    desk.route(max_per_hour=100)
    desk.look()
    together, sent, lock = threading.Barrier(4), Counter[str](), threading.Lock()

    def slow_send(_: str, message: Message) -> str | None:
        with lock:
            sent[message.title] += 1
            first = sum(sent.values()) <= 4
        if first:
            together.wait(60)
        return None

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: desk.deliver(send=slow_send), range(4)))
    assert 20 == sum(outcome.statuses["sent"] for outcome in outcomes) == len(sent)
    assert {1} == set(sent.values())
    assert {("ops", "sent", 1)} == set(desk.statuses())


def test_who_sends_and_dies_has_used_an_attempt(desk: Desk) -> None:
    """Between sending and the commit: the message comes again when the claim is over, and the row counts both."""
    desk.route()
    desk.alarm()
    desk.look()

    def send_and_die(url: str, message: Message) -> str | None:
        desk.send(url, message)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        desk.deliver(send=send_and_die)
    assert [("ops", "waiting", 1)] == desk.statuses()
    move_clock(desk.database, f"{LEASE_SECONDS - 1} s")
    desk.deliver()
    assert 1 == len(desk.sent)
    move_clock(desk.database, "1 s")
    desk.deliver()
    assert ([("ops", WARN)] * 2, [("ops", "sent", 2)]) == (desk.sent, desk.statuses())


def test_a_message_that_kills_its_senders_is_given_up(desk: Desk) -> None:
    """After as many attempts as any other."""
    desk.route()
    desk.alarm()
    desk.look()
    for _ in range(MAX_ATTEMPTS):
        assert alerts.claim_message(desk.database, lease_seconds=LEASE_SECONDS)
        move_clock(desk.database, f"{LEASE_SECONDS} s")
    assert alerts.claim_message(desk.database, lease_seconds=LEASE_SECONDS) is None
    (row,) = desk.rows()
    assert ("failed", "whoever sent it ended each time before it knew") == pick(row, "status", "last_error")


def test_who_comes_late_changes_nothing(desk: Desk) -> None:
    """A sender whose claim ran out does not overwrite what the next one found."""
    desk.route()
    desk.alarm()
    desk.look()
    late = alerts.claim_message(desk.database, lease_seconds=LEASE_SECONDS)
    assert late is not None
    move_clock(desk.database, f"{LEASE_SECONDS} s")
    next_one = alerts.claim_message(desk.database, lease_seconds=LEASE_SECONDS)
    assert next_one is not None
    assert None is alerts.finish_message(desk.database, late, "it hung", timedelta(0))
    assert "sent" == alerts.finish_message(desk.database, next_one, None, timedelta(0))
    assert None is alerts.finish_message(desk.database, next_one, "it hung", timedelta(0))
    assert [("ops", "sent", 2)] == desk.statuses()


def test_a_look_that_breaks_changes_nothing_and_is_no_sign_of_life(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is one transaction."""
    desk.route()
    desk.alarm()
    monkeypatch.setattr(use_case, "decide", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        desk.look()
    assert ([], [], []) == (desk.rows("alerts"), desk.rows(), desk.rows("alert_pulse"))
    monkeypatch.undo()
    desk.look()
    assert [0] == [alerts.pulse_age(desk.database)]
    move_clock(desk.database, "42 s")
    assert 42 == alerts.pulse_age(desk.database)


def test_a_removed_route_gets_nothing_and_its_history_stays(desk: Desk) -> None:
    """What waited says why it was not sent."""
    desk.route()
    desk.errors["ops"] = "away"
    desk.alarm()
    desk.tick()
    assert 1 == alert_rules.remove_route(desk.database, "ops", ME)
    assert [] == desk.tick()
    assert [("ops", None, "suppressed", "route_removed")] == [
        pick(row, "route", "route_id", "status", "why") for row in desk.rows()
    ]


def test_a_tick_says_what_it_did(desk: Desk) -> None:
    """In one line, for the sensor's page."""
    assert "nothing is alarming" == summary(desk.look(), desk.deliver())
    desk.route()
    desk.route("broken")
    desk.errors["broken"] = "away"
    desk.alarm()
    told = "1 alarming; 1 opened, 1 sent, 1 to be tried again"
    assert told == summary(desk.look(), desk.deliver())
    assert "1 alarming; nothing new" == summary(desk.look(), desk.deliver())


def test_real_receivers(desk: Desk) -> None:
    """A webhook and a mailbox, through apprise; the webhook refuses twice, then takes it, and the row shows it."""
    with http_sink() as hook, smtp_sink() as mailbox:
        desk.route("hook", hook.url)
        desk.route("mail", mailbox.url)
        hook.answers = [500, 503]
        desk.alarm()
        desk.look()
        desk.deliver(send=send)
        (row,) = desk.rows(route="hook")
        assert ("waiting", 1) == pick(row, "status", "attempts")
        assert "500" in row["last_error"]
        assert "geheim" not in row["last_error"]
        for wait in ("10 s", "20 s"):
            move_clock(desk.database, wait)
            desk.deliver(send=send)
    assert [("hook", "sent", 3), ("mail", "sent", 1)] == sorted(desk.statuses())
    assert [f"chunk_sync {WARN}"] * 3 == hook.titles
    assert [f"chunk_sync {WARN}"] == [mail["subject"] for mail in mailbox.mail]


def test_a_receiver_that_hangs_costs_its_own_time_only(desk: Desk) -> None:
    """It is left after a while, and the one behind it gets its message in the same tick."""
    with hanging_port() as port, http_sink() as hook:
        desk.route("hangs", f"json://127.0.0.1:{port}?{PATIENT}")
        desk.route("hook", hook.url)
        desk.alarm()
        desk.look()
        hangs = f":{port}?"
        outcome = desk.deliver(send=lambda url, message: send(url, message, seconds=0.2 if hangs in url else 60))
    assert ({"hangs": "no answer within 0.2 s"}, 1) == (outcome.errors, outcome.statuses["sent"])
    assert [("hangs", "waiting", 1), ("hook", "sent", 1)] == sorted(desk.statuses())


def test_when_the_time_is_up_the_rest_waits(desk: Desk, database: Database) -> None:
    """Until the next tick."""
    desk.route()
    desk.alarm()
    desk.look()
    assert {} == deliver(database, desk.reveal, send=desk.send, budget_seconds=0).statuses
    assert [("ops", "waiting", 0)] == desk.statuses()
