"""mbsync into an empty Maildir: `python -m benchmarks.mail.programs.with_mbsync`.

Without compression, which nobody here uses: it would cost mbsync most of its speed on a line that is this fast.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.mail.programs.meter import peak_megabytes
from benchmarks.queue.programs.wire import Wire, main

_LOOK_SECONDS = 0.02
_CONFIGURATION = """\
FSync {fsync}

IMAPAccount there
Host {host}
Port {port}
User {user}
Pass {password}
SSLType None
AuthMechs LOGIN
Timeout 300
DisableExtension COMPRESS=DEFLATE

IMAPStore far
Account there

MaildirStore near
Path {maildir}/
Inbox {maildir}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns INBOX
Create Near
Sync Pull
SyncState *
"""


def pull(wire: Wire) -> None:
    """Pull the inbox and count the files."""
    folder = Path(wire.job["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    maildir = folder / "maildir"
    maildir.mkdir(parents=True)
    configuration = folder / "mbsyncrc"
    configuration.write_text(_CONFIGURATION.format(maildir=maildir, **wire.job))
    wire.ready()
    with (folder / "complaints").open("wb") as complaints:
        started = time.perf_counter()
        process = subprocess.Popen(
            ["mbsync", "-q", "-c", str(configuration), "-a"], stdout=complaints, stderr=complaints
        )
        peak = 0.0
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            peak = max(peak, peak_megabytes(process.pid))
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    said = (folder / "complaints").read_text(errors="replace")
    if process.returncode:
        raise RuntimeError(said.strip().splitlines()[-1] if said.strip() else f"exit code {process.returncode}")
    files = [entry for part in ("cur", "new") for entry in os.scandir(maildir / "INBOX" / part)]
    wire.say(
        result={
            "seconds": seconds,
            "cpu": ended[2].ru_utime + ended[2].ru_stime,
            "peak_mb": peak,
            "messages": len(files),
            "bytes": sum(entry.stat().st_size for entry in files),
            "skipped": said.count("skipping"),
        }
    )


if __name__ == "__main__":
    main(pull=pull)
