from __future__ import annotations

from starcoder_ls.session.process_info import ProcessInfo


def test_process_has_one_unshared_window_by_default() -> None:
    assert ProcessInfo(started_s=12.4).to_json() == {"isShared": False, "windows": 1, "startedAt": 12}
