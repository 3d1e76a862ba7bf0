"""Settings: the only reader of the environment. Every variable is named here, once.

| variable | default | meaning |
|---|---|---|
| CHUNK_SYNC_DSN | (embedded PostgreSQL) | your PostgreSQL, as postgresql://user:password@host/database |
| CHUNK_SYNC_DAGSTER_DSN | (beside the above) | where Dagster keeps its own tables |
| CHUNK_SYNC_HOME | .chunk-sync in the project | state: embedded database, logs, secret key |
| CHUNK_SYNC_PG_BIN | (the embedded wheel) | folder with postgres and initdb to use instead |
| CHUNK_SYNC_SECRET_KEY | (a file in the home) | key that seals passwords kept in the database |
| CHUNK_SYNC_LEASE_SECONDS | 60 | a worker's lease; renewed at a third of it |
| CHUNK_SYNC_PATIENCE_SECONDS | 60 | how long a run waits for a chunk of its own that is due again |
| CHUNK_SYNC_RUN_THREADS | 2 | connections that one run opens to a mailbox |
| CHUNK_SYNC_PARALLEL_RUNS | 2 | the most sync runs at the same time |
| CHUNK_SYNC_LIVE_KEYS | 20000 | chunks that Dagster knows as partitions at once, 2000 to 100000 |
| CHUNK_SYNC_CHUNK_MESSAGES | 200 | messages a chunk, 25 to 500 |
| CHUNK_SYNC_CHUNK_BYTES | 16777216 | bytes a chunk, by the sizes that the source announces |
| CHUNK_SYNC_MAX_MESSAGE_BYTES | 104857600 | larger messages are quarantined instead of stored |
| CHUNK_SYNC_BYTES_IN_FLIGHT | 33554432 | bytes of mail that a run has in memory; a larger message goes alone |
| CHUNK_SYNC_RAW | keep | `off`: the exact bytes of messages are not kept, only their hash |
| CHUNK_SYNC_RAW_LEVEL | 3 | zstd level of the bytes that are kept, 1 to 19 |
| CHUNK_SYNC_MAX_PARTS | 1000 | MIME parts of a message that are read; the rest is cut and the message flagged |
| CHUNK_SYNC_MAX_DEPTH | 100 | levels of MIME parts inside each other |
| CHUNK_SYNC_MAX_TEXT_CHARACTERS | 1000000 | characters of a body |
| CHUNK_SYNC_SOURCE_TIMEOUT_SECONDS | 60 | the longest silence of a mail server |
| CHUNK_SYNC_DEADMAN_URL | (none) | where `deadman` alarms without the database: an apprise URL, or file:PATH with one |
| CHUNK_SYNC_PING_URL | (none) | an http(s) URL that is called after each look at alerts |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chunk_sync.errors import UsageError

PROJECT_ROOT = Path(__file__).resolve().parent.parent

DSN = "CHUNK_SYNC_DSN"
DAGSTER_DSN = "CHUNK_SYNC_DAGSTER_DSN"
HOME = "CHUNK_SYNC_HOME"

# Not settings: what `up` and `env` tell dagster.yaml, and where the tests find a server of yours.
STATE = "CHUNK_SYNC_STATE"
RUN_SLOTS = "CHUNK_SYNC_RUN_SLOTS"
TEST_DSN = "CHUNK_SYNC_TEST_DSN"


@dataclass(frozen=True)
class Settings:
    """All settings, read once by `Settings.read`; times in seconds, sizes in bytes."""

    dsn: str | None
    dagster_dsn: str | None
    home: Path
    pg_bin: str | None
    secret_key: str | None
    lease_seconds: float = 60.0
    patience_seconds: float = 60.0
    run_threads: int = 2
    parallel_runs: int = 2
    live_keys: int = 20_000
    chunk_messages: int = 200
    chunk_bytes: int = 16 << 20
    max_message_bytes: int = 100 << 20
    bytes_in_flight: int = 32 << 20
    raw: str = "keep"
    raw_level: int = 3
    max_parts: int = 1_000
    max_depth: int = 100
    max_text_characters: int = 1_000_000
    source_timeout_seconds: float = 60.0
    deadman_url: str | None = None
    ping_url: str | None = None

    @classmethod
    def read(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Read the environment; raises UsageError with the variable's name when a value is unusable."""
        env = os.environ if env is None else env
        number = _Numbers(env)
        return cls(
            dsn=env.get(DSN) or None,
            dagster_dsn=env.get(DAGSTER_DSN) or None,
            home=Path(env.get(HOME) or PROJECT_ROOT / ".chunk-sync").absolute(),
            pg_bin=env.get("CHUNK_SYNC_PG_BIN") or None,
            secret_key=env.get("CHUNK_SYNC_SECRET_KEY") or None,
            lease_seconds=number("CHUNK_SYNC_LEASE_SECONDS", cls.lease_seconds, 1, 3600),
            patience_seconds=number("CHUNK_SYNC_PATIENCE_SECONDS", cls.patience_seconds, 0, 3600),
            run_threads=int(number("CHUNK_SYNC_RUN_THREADS", cls.run_threads, 1, 16)),
            parallel_runs=int(number("CHUNK_SYNC_PARALLEL_RUNS", cls.parallel_runs, 1, 64)),
            live_keys=int(number("CHUNK_SYNC_LIVE_KEYS", cls.live_keys, 2_000, 100_000)),
            chunk_messages=int(number("CHUNK_SYNC_CHUNK_MESSAGES", cls.chunk_messages, 25, 500)),
            chunk_bytes=int(number("CHUNK_SYNC_CHUNK_BYTES", cls.chunk_bytes, 1 << 10, 1 << 30)),
            max_message_bytes=int(number("CHUNK_SYNC_MAX_MESSAGE_BYTES", cls.max_message_bytes, 1 << 10, 1 << 30)),
            bytes_in_flight=int(number("CHUNK_SYNC_BYTES_IN_FLIGHT", cls.bytes_in_flight, 1 << 20, 1 << 34)),
            raw=_word(env, "CHUNK_SYNC_RAW", ("keep", "off")),
            raw_level=int(number("CHUNK_SYNC_RAW_LEVEL", cls.raw_level, 1, 19)),
            max_parts=int(number("CHUNK_SYNC_MAX_PARTS", cls.max_parts, 1, 100_000)),
            max_depth=int(number("CHUNK_SYNC_MAX_DEPTH", cls.max_depth, 1, 200)),
            max_text_characters=int(
                number("CHUNK_SYNC_MAX_TEXT_CHARACTERS", cls.max_text_characters, 1 << 10, 100_000_000)
            ),
            source_timeout_seconds=number("CHUNK_SYNC_SOURCE_TIMEOUT_SECONDS", cls.source_timeout_seconds, 1, 3600),
            deadman_url=env.get("CHUNK_SYNC_DEADMAN_URL") or None,
            ping_url=env.get("CHUNK_SYNC_PING_URL") or None,
        )


def environment() -> dict[str, str]:
    """Copy the environment, for child processes."""
    return dict(os.environ)


def variable(name: str) -> str | None:
    """Read a variable that the user named (`env:NAME` credentials); None when it is not set."""
    return os.environ.get(name)


def _word(env: Mapping[str, str], name: str, words: tuple[str, ...]) -> str:
    """Read one of a few words; the first is the default."""
    text = env.get(name) or words[0]
    if text not in words:
        message = f"{name}={text!r}: say {' or '.join(words)}"
        raise UsageError(message)
    return text


@dataclass(frozen=True, slots=True)
class _Numbers:
    env: Mapping[str, str]

    def __call__(self, name: str, default: float, low: float, high: float) -> float:
        text = self.env.get(name)
        if not text:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            message = f"{name}={text!r}: give a number from {low:g} to {high:g}"
            raise UsageError(message)
        return value
