"""The caches that all clients of a process share and whose keys are texts.

Each is bounded (docs/security.md). They are emptied when a client disconnects, so that nothing of its documents stays;
other clients fill them again within one request.
"""

from __future__ import annotations

from starcoder_ls.context import identifiers, secrets
from starcoder_ls.next_edit import source
from starcoder_ls.syntax import brackets


def clear() -> None:
    """Forget the texts of all clients."""
    secrets.clear_caches()
    identifiers.clear_caches()
    brackets.clear_caches()
    source.clear_cache()
