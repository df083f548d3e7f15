from __future__ import annotations

from starcoder_ls.daemon.sent_notices import MAX_NOTICES, SentNotices


def test_repeated_messages_and_registrations_are_recognised() -> None:
    notices = SentNotices()
    assert [notices.is_repeated_message(body) for body in (b"a", b"b", b"a")] == [False, False, True]
    registrations = [{"x": 1, "y": 2}, {"y": 2, "x": 1}, {"x": 2}]
    assert [notices.is_repeated_registration(params) for params in registrations] == [False, True, False]


def test_oldest_messages_are_forgotten() -> None:
    notices = SentNotices()
    for number in range(MAX_NOTICES + 1):
        assert not notices.is_repeated_message(b"%d" % number)
    assert notices.is_repeated_message(b"%d" % MAX_NOTICES)
    assert not notices.is_repeated_message(b"0")
    assert len(notices._messages) == MAX_NOTICES
    assert all(len(digest) == 16 for digest in notices._messages)


def test_progress_is_open_from_its_beginning_to_its_end() -> None:
    notices = SentNotices()
    for token, kind in ((1, "begin"), ("1", "begin"), ("2", "begin"), ("2", "report"), (1, "end")):
        notices.record_progress({"token": token, "value": {"kind": kind}})
    for params in ({}, {"token": "3"}, {"token": {"x": 1}, "value": {"kind": "begin"}}):
        notices.record_progress(params)
    assert notices.take_open_progress() == ["1", "2"]
    assert notices.take_open_progress() == []


def test_progress_tokens_are_bounded_in_number_and_length() -> None:
    notices = SentNotices()
    for token in (*map(str, range(MAX_NOTICES + 5)), "x" * 1000):
        notices.record_progress({"token": token, "value": {"kind": "begin"}})
    assert notices.take_open_progress() == [str(number) for number in range(5, MAX_NOTICES + 5)]
