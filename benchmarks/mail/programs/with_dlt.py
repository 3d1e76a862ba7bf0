"""dlt's inbox source into PostgreSQL, in an environment of its own: `python -m benchmarks.mail.programs.with_dlt`.

Its code is not on PyPI: the job names a folder that holds it. Four things are mended, without which it does not get
through the mailbox: it insists on TLS and port 993, it takes INTERNALDATE to come after the literal, and a message
without a readable date or with 8-bit headers ends it. Parsed headers and texts only: it keeps no raw message.
"""

from __future__ import annotations

import email
import imaplib
import importlib
import os
import re
import sys
from email.header import Header
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from benchmarks.mail.programs.meter import pull
from benchmarks.queue.programs.wire import Wire, main

_PAGE = 100
_DATE = re.compile(rb'INTERNALDATE "[^"]*"')
_EPOCH = "Thu, 01 Jan 1970 00:00:00 +0000"


def load(wire: Wire) -> None:
    """Load the mailbox's messages, or its first ones."""
    os.environ.update({"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"})
    import dlt

    job = wire.job
    inbox = _mended(Path(job["source"]), job["port"])
    credentials = dlt.destinations.postgres(credentials=wire.dsn)
    folder = job["folder"]
    pipeline = dlt.pipeline("inbox", destination=credentials, dataset_name="inbox", pipelines_dir=folder)

    def run(_: Wire) -> tuple[int, int]:
        source = inbox.inbox_source(host=job["host"], email_account=job["user"], password=job["password"])
        if job["limit"]:
            source.resources["uids"].add_limit(-(-job["limit"] // _PAGE))
        try:
            pipeline.run(source.with_resources("messages"))
        except Exception as error:  # noqa: BLE001 - told in one line by the benchmark
            raise RuntimeError(_reason(error)) from None
        counts = pipeline.last_trace.last_normalize_info.row_counts
        return counts["messages"], 0

    pull(wire, run)


def _reason(error: BaseException) -> str:
    """Dig for what really happened."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _mended(folder: Path, port: int) -> Any:
    """Import the source and mend it in memory."""
    sys.path.insert(0, str(folder.parent))
    imaplib.IMAP4_SSL = lambda host: imaplib.IMAP4(host, port)  # pyright: ignore[reportAttributeAccessIssue]
    inbox = importlib.import_module(folder.name)
    helpers = importlib.import_module(f"{folder.name}.helpers")

    def message_and_date(client: imaplib.IMAP4, uid: str) -> tuple[Any, Any]:
        _, data = client.uid("fetch", uid, "(RFC822 INTERNALDATE)")
        envelope, raw = data[0]
        message = email.message_from_bytes(raw)
        found = _DATE.search(envelope + b" " + (data[1] if len(data) > 1 else b""))
        assert found
        stamp = helpers.mktime(imaplib.Internaldate2tuple(found[0]))
        return message, helpers.pendulum.from_timestamp(stamp)

    def readable_date(text: str | None) -> Any:
        try:
            return parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return parsedate_to_datetime(_EPOCH)

    decode = helpers.decode_header_word
    helpers.decode_header_word = lambda value: decode(str(value) if isinstance(value, Header) else value)
    inbox.get_message_with_internal_date = message_and_date
    helpers.parsedate_to_datetime = readable_date
    return inbox


if __name__ == "__main__":
    main(load=load)
