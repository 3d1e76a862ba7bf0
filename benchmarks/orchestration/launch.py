"""Launching runs as the UI does, over GraphQL, and reading from Dagster what became of them."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

_LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }"""
_RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run { status endTime
  stepStats { stepKey startTime endTime } } } }"""
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over: `ended_at` in seconds since the epoch, `inside` in seconds from claim to complete."""

    status: str
    ended_at: float
    inside: float


def ask(url: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    """Ask the webserver."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as response:
        answer = json.load(response)
    if answer.get("errors"):
        raise RuntimeError(answer["errors"][0]["message"])
    return answer["data"]


def launch(url: str, tags: dict[str, str]) -> str:
    """Ask for a run of sync_chunks; returns its id."""
    params = {
        "selector": {
            "repositoryLocationName": "chunk_sync",
            "repositoryName": "__repository__",
            "jobName": "sync_chunks",
            "assetSelection": [{"path": ["synced_emails"]}],
            "assetCheckSelection": [],
        },
        "mode": "default",
        "runConfigData": {},
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    answer = ask(url, _LAUNCH, {"params": params})["launchRun"]
    if answer["__typename"] != "LaunchRunSuccess":
        raise RuntimeError(json.dumps(answer))
    return answer["run"]["runId"]


def ended(url: str, run_id: str) -> Ended | None:
    """Look at a run once; None while it goes on."""
    run = ask(url, _RUN, {"id": run_id})["runOrError"]
    if run["status"] not in _ENDED:
        return None
    steps = run["stepStats"]
    inside = max(step["endTime"] for step in steps) - min(step["startTime"] for step in steps)
    return Ended(run["status"], run["endTime"], inside)
