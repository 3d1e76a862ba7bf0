"""The one place that sends: a message to one of apprise's URLs, a ping to a watcher outside.

Apprise is imported when something is sent, for it takes seconds. What went wrong is said without the URL's secrets.
"""

from __future__ import annotations

import functools
import re
import threading
import warnings
from collections.abc import Iterable
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import unquote
from urllib.request import Request, urlopen

from chunk_sync.alerts.message import Message

SEND_SECONDS = 5.0
"""How long a receiver may take."""
_SHORTEST_SECRET = 3
_ERROR_LENGTH = 500


def send(url: str, message: Message, *, seconds: float = SEND_SECONDS) -> str | None:
    """Send a message; returns why it did not arrive, None when it did.

    In a thread of its own, which a receiver that never ends its answer keeps: neither we nor our end wait for it.
    """
    _load()
    answers: list[str | None] = []
    thread = threading.Thread(target=lambda: answers.append(_send(url.strip(), message)), daemon=True)
    thread.start()
    thread.join(seconds)
    return answers[0] if answers else f"no answer within {seconds:g} s"


def understands(url: str) -> bool:
    """Whether apprise knows what to do with a URL; nothing is sent."""
    _load()
    from apprise import Apprise  # noqa: PLC0415 - see above

    return bool(Apprise.instantiate(url.strip(), suppress_exceptions=True))


def ping(url: str, *, seconds: float = SEND_SECONDS) -> str | None:
    """GET a URL, which tells a watcher outside that we live; returns what went wrong, None if nothing did."""
    if not url.startswith(("http://", "https://")):
        return "CHUNK_SYNC_PING_URL is no http or https URL"
    try:
        with urlopen(Request(url, headers={"User-Agent": "chunk_sync"}), timeout=seconds):  # noqa: S310 - checked
            return None
    except HTTPError as error:
        error.close()
        return f"the watcher answered {error.code}"
    except (OSError, HTTPException, ValueError) as error:
        return hide(f"the watcher does not answer: {error}", url)


def _send(url: str, message: Message) -> str | None:
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415 - see above
    from apprise.exception import AppriseException  # noqa: PLC0415

    # Without a time limit of its own apprise starts no thread, which would have to end before we can.
    asset = AppriseAsset(app_id="chunk_sync", async_mode=False, service_timeout=0, storage_mode="memory")
    receiver = Apprise(asset=asset)
    try:
        if not receiver.add(url):
            return "apprise does not know this URL: see its list of services for how it is written"
        result = receiver.notify(body=message.body, title=message.title, notify_type=message.tone)
    except (AppriseException, ValueError, TypeError, OSError) as error:  # what a plugin lets through
        return hide(f"{type(error).__name__}: {error}", url)
    if result:
        return None
    said = "; ".join(_plain(str(entry)) for entry in result.logs())
    return hide(said or f"it failed without a reason ({result.status.name})", url)[:_ERROR_LENGTH]


@functools.cache
def _load() -> None:
    """Load apprise's plugins, all of them, as it does by itself; what they warn of is no business of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from apprise import Apprise  # noqa: PLC0415 - see above

        Apprise.instantiate("json://localhost")


def hide(text: str, url: str) -> str:
    """Take out of a text whatever is part of a URL, as it stands there or decoded, but its scheme."""
    for secret in sorted(_parts(url), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _parts(url: str) -> set[str]:
    rest = url.partition("://")[2]
    parts: Iterable[str] = [rest, *re.split(r"[/:@?&=#,;]+", rest)]
    return {form for part in parts for form in (part, unquote(part)) if len(form) >= _SHORTEST_SECRET}


def _plain(entry: str) -> str:
    """Take the moment and the level off a line of apprise's log."""
    return entry.split(" - ", 2)[-1]
