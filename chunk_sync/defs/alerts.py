"""The sensor of alerts: it looks, sends and lets a watcher outside know. No run: alerts work while runs do not."""

from functools import partial

import dagster as dg

from chunk_sync.defs.resources import ChunkSync

_TICK_SECONDS = 30


@dg.sensor(
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Opens and resolves alerts, and sends what is due to their routes (`./chunk-sync alert`).",
)
def alerts(context: dg.SensorEvaluationContext, chunk_sync: ChunkSync):  # noqa: ANN201
    """A look that fails fails the tick, and nobody is pinged; a message that fails is a row, and tried again."""
    # Here, for every run that starts pays for what this module imports.
    from chunk_sync.alerts.evaluate import deliver, evaluate, summary  # noqa: PLC0415
    from chunk_sync.alerts.send import ping  # noqa: PLC0415
    from chunk_sync.engine.credentials import reveal  # noqa: PLC0415

    settings, database = chunk_sync.settings(), chunk_sync.database()
    changes = evaluate(database)
    outcome = deliver(database, partial(reveal, settings=settings))
    for route, error in outcome.errors.items():
        context.log.warning("route %s: %s", route, error)
    if settings.ping_url and (error := ping(settings.ping_url)):
        context.log.warning("%s", error)
    return dg.SkipReason(summary(changes, outcome))
