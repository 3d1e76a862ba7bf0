"""What the database tells, in the words of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from chunk_sync.cli.readings import Reading
from chunk_sync.store.metrics import Sample


class SampleCollector(Collector):
    """Turns samples into metrics; without an answer of the database there is `chunk_sync_up 0` and nothing else."""

    def __init__(self, read: Callable[[], Reading[list[Sample]]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Give all metrics, in the order of their names."""
        reading = self._read()
        yield GaugeMetricFamily("chunk_sync_up", "whether the database answers", 0 if reading.value is None else 1)
        if reading.value is None:
            return
        yield GaugeMetricFamily("chunk_sync_read_seconds", "how long reading these numbers took", reading.seconds)
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for sample in sorted(reading.value, key=lambda one: (one.name, sorted(one.labels.items()))):
            if sample.name not in families:
                families[sample.name] = _family(sample)
            families[sample.name].add_metric([sample.labels[name] for name in sorted(sample.labels)], sample.value)
        yield from families.values()


def exposition(read: Callable[[], Reading[list[Sample]]], accept: str = "") -> tuple[bytes, str]:
    """Write the metrics in a form that the asker accepts; the text and its content type."""
    registry = CollectorRegistry()
    registry.register(SampleCollector(read))
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # nonsense for a version
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


def _family(sample: Sample) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if sample.kind == "counter" else GaugeMetricFamily
    return kind(sample.name, sample.help, labels=sorted(sample.labels))
