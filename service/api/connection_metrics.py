"""What becomes of a server's connections, for Prometheus."""

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.api.connections import Connections


class ConnectionMetrics(Collector):
    """Read when it is asked for; `docs/operate/metrics.md` says what the metrics mean."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def collect(self) -> list[CounterMetricFamily | GaugeMetricFamily]:
        """The samples."""
        of_now, at_most = len(self._connections), self._connections.max_open
        cut = CounterMetricFamily(
            "http_connections_cut", "Connections closed before their client was done, by cause.", labels=["cause"]
        )
        for cause, count in self._connections.cut.items():
            cut.add_metric([cause], count)
        return [
            GaugeMetricFamily("http_connections", "Connections that are open.", value=of_now),
            GaugeMetricFamily("http_connections_max", "Connections that may be open at a time.", value=at_most),
            cut,
        ]
