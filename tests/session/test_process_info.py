from __future__ import annotations

from starcoder_ls.session.process_info import ProcessInfo


def test_a_process_is_one_window_s_until_somebody_says_otherwise() -> None:
    assert ProcessInfo(started_s=12.4).to_json() == {"isShared": False, "windows": 1, "startedAt": 12}
