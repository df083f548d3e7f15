"""What the gateway counts, in Prometheus' format. Names of users are not part of it: many people can read metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Metrics:
    """Latency is in seconds: ``first_byte`` from the arrival of a request to the first byte for the client, ``total``
    to its end. An aborted answer is one that the client left, as it does when its own stop rules are satisfied."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    tokens: Counter = field(init=False)
    aborted: Counter = field(init=False)
    retries: Counter = field(init=False)
    latency: Histogram = field(init=False)
    load: Gauge = field(init=False)
    healthy: Gauge = field(init=False)

    def __post_init__(self) -> None:
        registry = self.registry
        self.requests = Counter(
            "gateway_requests", "Requests by route and status.", ["route", "status"], registry=registry
        )
        self.tokens = Counter(
            "gateway_tokens", "Tokens: prompt, reused (of the prompts), generated.", ["kind"], registry=registry
        )
        self.aborted = Counter("gateway_aborted", "Answers that clients left before their end.", registry=registry)
        self.retries = Counter("gateway_retries", "Requests that were sent to another replica.", registry=registry)
        self.latency = Histogram(
            "gateway_latency_seconds", "By stage: first_byte, total.", ["stage"], buckets=_BUCKETS_S, registry=registry
        )
        self.load = Gauge(
            "gateway_replica_requests", "Requests that a replica works on.", ["replica"], registry=registry
        )
        self.healthy = Gauge("gateway_replica_healthy", "1 if a replica is used.", ["replica"], registry=registry)

    def text(self) -> bytes:
        return generate_latest(self.registry)
