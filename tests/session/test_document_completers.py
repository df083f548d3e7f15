from __future__ import annotations

from starcoder_ls.completion.metrics import Metrics
from starcoder_ls.session.document_completers import DocumentCompleters


def test_completers_of_one_client_share_the_budget_of_their_caches() -> None:
    completers, other = DocumentCompleters(Metrics()), DocumentCompleters(Metrics())
    budgets = {completers.get(uri)._cache._budget for uri in ("file:///a", "file:///b")}
    assert budgets == {completers.budget} != {other.budget}


def test_document_keeps_its_completer_until_it_is_discarded() -> None:
    completers = DocumentCompleters(Metrics())
    first, other = completers.get("file:///a"), completers.get("file:///b")
    assert completers.get("file:///a") is first is not other
    completers.discard("file:///a")
    completers.discard("file:///unknown")
    assert completers.get("file:///a") is not first
    assert completers.get("file:///b") is other
    completers.discard_all()
    assert completers.get("file:///b") is not other
