"""What all health assets have in common: how they are declared, what their pages show, how their checks are told."""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from chunk_sync.defs.assets import OWNERS
from chunk_sync.defs.columns import shows

GROUP = "health"
_FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=30), warn_window=timedelta(minutes=15))
"""They are computed every five minutes: twice left out is a warning."""


def health_asset(
    *,
    deps: Sequence[dg.AssetsDefinition | dg.AssetKey],
    description: str,
    checks: Mapping[str, str] | None = None,
    relation: str | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Declare a health asset; `checks` are described by their names, and its function returns a result for each.

    `relation` is the table that it writes.
    """

    def declare(compute: Callable[..., Any]) -> dg.AssetsDefinition:
        name, told = compute.__name__, checks or {}
        if told:  # Dagster takes it for an annotation of all outputs
            compute.__annotations__.pop("return", None)
        return dg.asset(
            deps=list(deps),
            group_name=GROUP,
            kinds={"pandas", "postgres"},
            owners=OWNERS,
            description=description,
            metadata=shows(relation) if relation else None,
            freshness_policy=_FRESH,
            check_specs=[
                dg.AssetCheckSpec(check, asset=name, description=text) for check, text in (checks or {}).items()
            ],
        )(compute)

    return declare


def check_of(name: str, signals: Collection[str], alerts: Sequence[Mapping[str, Any]]) -> dg.AssetCheckResult:
    """Tell whether none of these signals is alarming; `alerts` are rows of the view health_alerts."""
    found = [alert for alert in alerts if alert["signal"] in signals]
    critical = any(alert["level"] == "critical" for alert in found)
    return dg.AssetCheckResult(
        check_name=name,
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR if critical else dg.AssetCheckSeverity.WARN,
        description="; ".join(alert["message"] for alert in found) or None,
        metadata={"alarms": len(found)},
    )


def count_check(name: str, count: int, most: int, what: str, *, error: bool) -> dg.AssetCheckResult:
    """Tell whether there are no more of something than there may be."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=count <= most,
        severity=dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN,
        description=None if count <= most else f"{count} {what}",
        metadata={"count": count, "allowed": most},
    )


def table(records: Sequence[dict[Hashable, Any]]) -> dg.MetadataValue:
    """Show records of a frame as a table; its columns have the types of the first record."""
    if not records:
        return dg.MetadataValue.text("none")
    rows = [{str(k): v.item() if hasattr(v, "item") else v for k, v in record.items()} for record in records]
    columns = [
        dg.TableColumn(name, "string" if isinstance(value, str) else "int" if isinstance(value, int) else "float")
        for name, value in rows[0].items()
    ]
    return dg.MetadataValue.table(records=[dg.TableRecord(row) for row in rows], schema=dg.TableSchema(columns=columns))


def picture(markdown: str) -> dg.MetadataValue:
    """Show a chart of `health.charts`."""
    return dg.MetadataValue.md(markdown)
