from __future__ import annotations

import pytest

from starcoder_ls.gateway.user_limits import UserLimits
from starcoder_ls.http_api.http_errors import HttpError


def test_a_burst_is_allowed_and_then_the_rate() -> None:
    now_s = [0.0]
    limits = UserLimits(60, 100, lambda: now_s[0])
    for _ in range(10):
        with limits.admit("one"):
            pass
    with pytest.raises(HttpError, match="60 requests a minute") as raised, limits.admit("one"):
        pass
    assert (raised.value.status, raised.value.headers["Retry-After"]) == (429, "1")
    with limits.admit("two"):
        pass
    now_s[0] = 1.0
    with limits.admit("one"):
        pass
    with pytest.raises(HttpError), limits.admit("one"):
        pass


def test_requests_at_the_same_time_are_limited() -> None:
    limits = UserLimits(600, 2)
    with limits.admit("one"), limits.admit("one"):
        with pytest.raises(HttpError, match="2 requests of yours are running"), limits.admit("one"):
            pass
        with limits.admit("two"):
            pass
    with limits.admit("one"):
        pass
