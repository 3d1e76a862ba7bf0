"""The live page in a real browser: what it shows of a database, that names are text, what it says when all is gone.

CHUNK_SYNC_SCREENSHOTS=FOLDER keeps the picture: the one in docs/images is made so.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chunk_sync.cli.live import serving
from chunk_sync.cli.readings import Reading, try_to_read
from chunk_sync.settings import variable
from chunk_sync.store.database import Database
from chunk_sync.store.live import LiveStatus, Stopped, live_status
from chunk_sync_tests.e2e.browser import open_browser
from chunk_sync_tests.factory import PlannedJob, claim, complete, fail_for_good, make_job, make_mailbox, open_worker

if TYPE_CHECKING:  # installed with Chromium only
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.needs("chromium")

EVIL = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
WAIT_MS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the module."""
    with open_browser() as opened:
        yield opened


class Watched:
    """A page, what went wrong in it, and whom it called."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: request.url.startswith(url) or self.wrong.append(request.url))
        page.on("console", lambda message: self._hear(message.type, message.text))

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text and "ERR_" not in text:
            self.wrong.append(text)

    def shows(self, text: str) -> bool:
        """Wait until a text is on the page."""
        self.page.get_by_text(text).first.wait_for()
        return True

    def look_again(self) -> None:
        """Let a second pass in a page whose clock stands, and wait from outside until it has looked."""
        told = self.page.locator("#at")
        before, deadline = told.inner_text(), time.monotonic() + WAIT_MS / 1000
        self.page.clock.run_for(1000)
        while told.inner_text() == before:
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.fixture
def source(database: Database) -> list[Callable[[], LiveStatus]]:
    """What the page's server reads, to be exchanged by a test."""
    return [partial(live_status, database)]


@pytest.fixture
def watched(browser: Browser, source: list[Callable[[], LiveStatus]]) -> Iterator[Watched]:
    """The page, opened; a test fails when a script failed, or the page called a stranger."""

    def look() -> Reading[LiveStatus]:
        return try_to_read(source[0])

    with serving("127.0.0.1", 0, lambda _: (b"", "text/plain"), look) as port:
        url = f"http://127.0.0.1:{port}/"
        context = browser.new_context(locale="en-US", timezone_id="UTC", viewport={"width": 1200, "height": 800})
        try:
            watched = Watched(context.new_page(), url)
            watched.page.goto(url)
            yield watched
            assert [] == watched.wrong
        finally:
            context.close()


@pytest.fixture
def job(database: Database) -> PlannedJob:
    """Of ten chunks four have landed, one is a dead letter, one is running."""
    planned = make_job(database, make_mailbox(database, "office"), chunks=10, emails=120)
    *landed, dead, _ = claim(database, planned, open_worker(database), 4)
    for chunk in landed:
        complete(database, chunk, emails=120)
    fail_for_good(database, dead)
    return planned


def test_it_shows_what_happens_as_it_happens(database: Database, job: PlannedJob, watched: Watched) -> None:
    """Jobs with a bar and a rate, chunks, workers, alerts, failures; without being opened again."""
    assert watched.shows("office")
    assert watched.shows("240 of 1,200 messages, 2 of 10 chunks")
    assert watched.shows("chunks that failed for good lately")
    bar = watched.page.get_by_role("progressbar", name="office")
    assert (240, 1200) == (bar.evaluate("bar => bar.value"), bar.evaluate("bar => bar.max"))
    (chunk,) = claim(database, job, open_worker(database, "another"))
    complete(database, chunk, emails=120)
    assert watched.shows("360 of 1,200 messages, 3 of 10 chunks")
    line = watched.page.get_by_role("img", name="messages a second, of late").locator("polyline")
    assert len((line.get_attribute("points") or "").split()) > 0


def test_names_are_text(database: Database, watched: Watched) -> None:
    """A mailbox, a tenant and an error that are HTML are shown letter by letter, and nothing of them runs."""
    planned = make_job(database, make_mailbox(database, EVIL, tenant=EVIL), chunks=2)
    (chunk,) = claim(database, planned, open_worker(database))
    fail = "SELECT fail_chunk(%s, %s, 'permission', %s)"
    database.execute(fail, (chunk.chunk_id, chunk.lease_token, EVIL))
    assert watched.shows(EVIL)
    assert watched.shows(f"permission: {EVIL}")
    assert "chunk_sync" == watched.page.title()
    assert 0 == watched.page.locator("img").count()
    assert 1 == watched.page.locator("script").count()


def test_a_script_that_gets_in_all_the_same_does_not_run(watched: Watched) -> None:
    """The page's policy allows its own script alone."""
    blocked = watched.page.evaluate(
        "() => new Promise(done => {"
        " document.addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));"
        " const made = document.createElement('script'); made.textContent = 'document.title = \"owned\"';"
        " document.body.append(made); })"
    )
    assert ("script-src-elem", "chunk_sync") == (blocked, watched.page.title())
    watched.wrong.clear()  # the browser says so in its console, as it should


def test_without_a_database_and_without_a_server_it_says_so(
    database: Database, job: PlannedJob, source: list[Callable[[], LiveStatus]], watched: Watched
) -> None:
    """The last picture stays, pale, below one line that says what is missing; it goes when all is back."""
    assert watched.shows("office")
    good = source[0]
    with Database("postgresql://u:geheim@127.0.0.1:1/x") as nowhere:
        source[0] = partial(live_status, nowhere)
        alarm = watched.page.get_by_role("alert")
        alarm.wait_for()
        assert "no answer from the database, trying again: cannot use PostgreSQL at 127.0.0.1:1/x" in alarm.inner_text()
        assert "geheim" not in watched.page.content()
        assert "stale" == watched.page.locator("main").get_attribute("class")
    source[0] = good
    alarm.wait_for(state="hidden")
    watched.page.route("**/status.json", lambda route: route.abort())
    alarm.wait_for()
    assert "no answer from chunk-sync metrics, trying again" == alarm.inner_text()
    watched.page.unroute("**/status.json")
    alarm.wait_for(state="hidden")


@pytest.mark.parametrize(("scheme", "background"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(13, 17, 23)")])
def test_it_is_as_dark_as_the_reader_likes(watched: Watched, scheme: str, background: str) -> None:
    """The page follows what the browser says of its reader."""
    watched.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    assert background == watched.page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")


LANDING = {"ann": (0, 0, 40), "archive 2019": (90, 110, 100), "bob": (60, 60, 0), "office": (30, 95, 140)}
"""Messages a second of mailboxes in a made-up minute: at its first, middle and last seconds."""


def story(landed: LiveStatus) -> Iterator[LiveStatus]:
    """Tell a minute, a look a second: mailboxes land at changing rates, one stands still, two signals alarm."""
    (job,) = landed.jobs
    done = dict.fromkeys(LANDING, 900)
    for second in range(0, 62, 2):
        at = landed.at + timedelta(seconds=second)
        for number, (name, rates) in enumerate(LANDING.items()):
            done[name] += 2 * rates[second // 21] + (7 * second + 13 * number) % 25 * (rates[second // 21] > 0)
        jobs = [
            replace(
                job,
                job_id=40 + number,
                mailbox=name,
                tenant="acme" if name == "office" else "default",
                emails_processed=done[name],
                emails_estimated=9_000,
                completed_chunks=done[name] // 200,
                total_chunks=45,
                bytes_processed=done[name] * 31_000,
                emails_per_second=done[name] / (second + 20),
                created_at=landed.at,
                eta=at + timedelta(seconds=(9_000 - done[name]) / (done[name] / (second + 20))),
                throttled_until=at + timedelta(minutes=2) if name == "bob" else None,
                error_category=None,
                error_message=None,
            )
            for number, name in enumerate(LANDING)
        ]
        yield replace(
            landed,
            at=at,
            jobs=jobs,
            waiting=180 - sum(one.completed_chunks for one in jobs),
            due=60,
            ends={41: (at + timedelta(seconds=40 - second // 2), at + timedelta(seconds=155 - 2 * second))},
            stopped=[Stopped("default", "bob", "throttled", at + timedelta(minutes=2))],
            failures={"rate_limit": 6, "network": 2},
        )


def test_rates_are_drawn_as_they_were(
    database: Database, job: PlannedJob, source: list[Callable[[], LiveStatus]], watched: Watched, tmp_path: Path
) -> None:
    """A line has a point a look, as high as the rate was; all of it fits into the page. Its picture is in the docs."""
    looks = list(story(live_status(database)))
    now = 0
    watched.page.clock.install(time=0)
    watched.page.clock.pause_at(1000)  # now a look is made when the test says so, not while the machine is slow
    source[0] = lambda: looks[now]
    watched.page.reload()
    assert watched.shows("archive 2019")
    for number in range(1, len(looks)):
        now = number
        watched.look_again()
    assert watched.shows("throttled")
    drawn = watched.page.locator("tr", has_text="#42 ").locator("polyline").get_attribute("points") or ""
    heights = [float(point.partition(",")[2]) for point in drawn.split()]
    assert 30 == len(heights)
    assert {24.0} == set(heights[-9:])  # it has been throttled: nothing lands
    assert 5 > min(heights)
    assert watched.shows("10 s to 35 s")  # the range of a forecast
    assert watched.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    watched.page.screenshot(path=tmp_path / "live.png", full_page=True)
    if kept := variable("CHUNK_SYNC_SCREENSHOTS"):
        shutil.copy(tmp_path / "live.png", kept)
