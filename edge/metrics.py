"""The metrics of one worker: counts and gauges read from its parts when somebody asks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from kit.telemetry import new_registry, render

if TYPE_CHECKING:
    from edge.app import Worker


class EdgeMetrics(Collector):
    """Reads the worker's figures. No label comes from a client."""

    def __init__(self, worker: Worker) -> None:
        """Read this worker."""
        self._worker = worker
        self._registry = new_registry()
        self._registry.register(self)

    def render(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        return render(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Describe nothing ahead: the parts do not exist yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Yield what the parts have counted."""
        yield _gauge(
            "oneapi_edge_landlock_version",
            "Interface by which the kernel confines writes to the spool; 0: it does not.",
            self._worker.landlock_version,
        )
        yield from self._front()
        yield from self._link()
        yield from self._spool()

    def _front(self) -> Iterable[Metric]:
        front, upstream = self._worker.front, self._worker.upstream_client.stats()
        yield _gauge("oneapi_edge_connections", "Client connections.", front.open_connections)
        refused = CounterMetricFamily(
            "oneapi_edge_refused", "Requests that broke HTTP, by code.", labels=["code"]
        )
        for code, count in front.refused.items():
            refused.add_metric([code], count)
        yield refused
        pool = GaugeMetricFamily(
            "oneapi_edge_upstream_connections", "Upstream connections.", labels=["state"]
        )
        for state in ("active", "idle", "waiting"):
            pool.add_metric([state], getattr(upstream, state))
        yield pool
        requests = GaugeMetricFamily(
            "oneapi_edge_upstream_requests",
            "Requests that run at upstreams, and that wait for room there.",
            labels=["state"],
        )
        capacity = self._worker.router.capacity
        requests.add_metric(["running"], capacity.running())
        requests.add_metric(["waiting"], capacity.waiting())
        yield requests

    def _link(self) -> Iterable[Metric]:
        link = self._worker.link
        yield _gauge("oneapi_edge_in_touch", "Whether core was heard of lately.", int(link.usable))
        yield _gauge("oneapi_edge_grants", "Cached grants.", len(link.grants))
        look_ups = CounterMetricFamily(
            "oneapi_edge_key_look_ups", "Look-ups of API keys at core.", labels=["result"]
        )
        counts = link.grants.look_ups
        look_ups.add_metric(["made"], counts.made)
        look_ups.add_metric(["missed"], counts.missed)
        look_ups.add_metric(["turned_away"], counts.turned_away)
        yield look_ups
        yield _gauge("oneapi_edge_key_look_ups_waiting", "Waiting look-ups.", counts.waiting)
        held = link.credit.held_nanos()
        yield _gauge("oneapi_edge_held_nanos", "Credit held by running requests.", held)
        yield _gauge(
            "oneapi_edge_catalog_version", "The catalogue's version.", link.catalog.version
        )

    def _spool(self) -> Iterable[Metric]:
        metering = self._worker.metering
        if metering is None:
            return
        stats = metering.stats()
        for name in ("appended", "durable", "acked", "open_intents", "bytes"):
            yield _gauge(f"oneapi_edge_spool_{name}", f"Spool: {name}.", getattr(stats, name))
        yield _gauge("oneapi_edge_spool_state", "0 open, 1 failed, 2 closed.", int(stats.state))
        for name, value in asdict(metering.counters).items():
            yield CounterMetricFamily(f"oneapi_edge_metering_{name}", f"{name}.", value=value)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
