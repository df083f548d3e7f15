"""Which replica answers a request: the gateway's ring and its bounded loads, over the replicas that Ray runs."""

from __future__ import annotations

from collections.abc import Sequence

from ray.serve.experimental.consistent_hash_router import ConsistentHashRouter
from ray.serve.request_router import PendingRequest, ReplicaID, RunningReplica

from starcoder_ls.gateway.hash_ring import HashRing

_LOAD_FACTOR = 1.25
"""As the gateway's setting ``load_factor``."""


class DocumentRouter(ConsistentHashRouter):
    """Requests with the same `x-session-id` go to the same replica while its load is not far above the average. Ray's
    class brings the loop that keeps a request with the replicas that were chosen for it."""

    _names: dict[str, ReplicaID]
    _document_ring = HashRing(())

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        super().update_replicas(replicas)
        self._names = {replica_id.unique_id: replica_id for replica_id in self.curr_replicas}
        self._document_ring = HashRing(sorted(self._names))

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> Sequence[list[RunningReplica]]:
        """One replica in each rank, the best first."""
        key = self._routing_key(pending_request)
        if pending_request is None or key is None or not candidate_replicas:
            return [candidate_replicas] if candidate_replicas else []
        pending_request.routing_context.should_backoff = True
        names = self._document_ring.choose(key, self._load_of, _LOAD_FACTOR)
        return [[self.curr_replicas[self._names[name]]] for name in names]

    def _load_of(self, name: str) -> int | None:
        """The requests that a replica works on, as far as this router knows; None if Ray has removed it."""
        replica_id = self._names[name]
        if replica_id not in self.curr_replicas:
            return None
        return self.replica_queue_len_cache.get(replica_id) or 0
