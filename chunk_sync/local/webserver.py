"""Asking Dagster's webserver whether our definitions are loaded."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPException
from typing import Any

from chunk_sync.errors import ChunkSyncError

_QUERY = """{ workspaceOrError { __typename ... on Workspace { locationEntries {
  loadStatus locationOrLoadError { __typename ... on PythonError { message className } } } } } }"""
# What Dagster says while the code server is not there yet.
_NOT_YET = "DagsterUserCodeUnreachableError"
# A proxy in the environment is not for the loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def definitions_loaded(url: str, *, timeout: float = 5.0) -> bool:
    """Ask once; raises ChunkSyncError with Dagster's first line when the definitions do not load."""
    request = urllib.request.Request(  # noqa: S310 - our own http://127.0.0.1
        f"{url}/graphql", json.dumps({"query": _QUERY}).encode(), {"Content-Type": "application/json"}
    )
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            answer: dict[str, Any] = json.load(response)
    except (OSError, HTTPException, ValueError):
        return False
    entries: list[dict[str, Any]] = answer["data"]["workspaceOrError"].get("locationEntries") or []
    return bool(entries) and all(_is_loaded(entry) for entry in entries)


def _is_loaded(entry: dict[str, Any]) -> bool:
    location = entry["locationOrLoadError"]
    if entry["loadStatus"] != "LOADED" or location is None:
        return False
    if location["__typename"] == "PythonError" and location["className"] != _NOT_YET:
        reason = next((line for line in str(location["message"]).splitlines() if line.strip()), "")
        message = f"Dagster cannot load the definitions: {reason}"
        raise ChunkSyncError(message)
    return location["__typename"] == "RepositoryLocation"
