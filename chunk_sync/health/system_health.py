"""The whole system in one verdict: what the queue, the attempts and the alerts say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from chunk_sync.health.frames import typed
from chunk_sync.health.queue_health import QueueHealth

_ALERTS = {"signal": "str", "level": "str", "value": "float64", "message": "str", "tenant_id": "float64"}
LEVELS = ("ok", "warn", "critical")


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """`overall_health` of the last hour's attempts, `alert_level` of what is alarming now, and the alerts."""

    overall_health: str
    alert_level: str
    warnings: int
    critical: int
    alerts: pd.DataFrame

    @property
    def level(self) -> int:
        """The alert level as a number that can be plotted: 0 ok, 1 warn, 2 critical."""
        return LEVELS.index(self.alert_level)


def judge_system(queue: QueueHealth, alert_rows: Sequence[Mapping[str, object]]) -> SystemHealth:
    """Judge by the queue's health and by rows of the view health_alerts."""
    alerts = typed(alert_rows, _ALERTS)
    critical, warnings = int((alerts["level"] == "critical").sum()), int((alerts["level"] == "warn").sum())
    return SystemHealth(
        overall_health=queue.overall_health,
        alert_level="critical" if critical else "warn" if warnings else "ok",
        warnings=warnings,
        critical=critical,
        alerts=alerts[["level", "signal", "message"]],
    )
