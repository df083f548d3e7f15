from __future__ import annotations

import json
from typing import Any

from starcoder_ls.daemon import message
from starcoder_ls.daemon.replay_log import ReplayLog
from starcoder_ls.daemon.replayed_folders import METHOD, ReplayedFolders


def change(event: Any) -> message.Message:
    return message.parse(message.encode(method=METHOD, params={"event": event}))


def test_sum_of_the_changes_is_one_notification() -> None:
    folders = ReplayedFolders()
    assert folders.replay() == []
    folders.record(change({"added": [{"uri": "file:///b"}, {"uri": "file:///c"}], "removed": [{"uri": "file:///a"}]}))
    folders.record(change({"added": [{"uri": "file:///a"}], "removed": [{"uri": "file:///b"}, {"uri": "file:///a"}]}))
    folders.record(change({"added": [1, {"uri": 2}, {}]}))
    folders.record(change([]))
    (body,) = folders.replay()
    assert json.loads(body)["params"]["event"] == {
        "added": [{"uri": "file:///c"}, {"uri": "file:///a"}],
        "removed": [{"uri": "file:///b"}],
    }


def test_new_daemon_gets_the_folders_after_the_handshake() -> None:
    log = ReplayLog()
    for method, fields in (("initialize", {"id": 1}), ("initialized", {})):
        log.record_sent(message.parse(message.encode(method=method, params={}, **fields)))
    log.record_received(message.parse(message.encode(id=1, result={})))
    log.record_sent(change({"added": [{"uri": "file:///b"}], "removed": []}))
    assert [json.loads(body)["method"] for body in log.replay()] == ["initialize", "initialized", METHOD]
