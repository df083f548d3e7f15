"""What a window does about a daemon that crashed or hung: whom to blame, what to answer, what not to send again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from starcoder_ls.daemon import offline_replies, quarantine
from starcoder_ls.daemon.activity import Suspects
from starcoder_ls.daemon.message import Message
from starcoder_ls.daemon.quarantine import Quarantine
from starcoder_ls.daemon.replay_log import ReplayLog

HANG_TEXT = (
    "The model's process did not respond for several seconds and is being restarted. Try again in a moment; "
    "`starcoder-ls logs` may say why."
)


class DaemonFailures:
    """Attributes failures to documents and quarantines them. Not thread-safe: the owner holds the lock of ``log``."""

    def __init__(self, log: ReplayLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._quarantine = Quarantine(os.getpid(), clock)
        self.is_attributed_elsewhere = False
        """Whether the last failure was due to another window."""
        self.has_quarantined = False
        """Whether a document was quarantined for the last failure, so that the next daemon should not fail again."""

    def record_crash(self, suspects: Suspects) -> list[bytes]:
        """The daemon has ended unexpectedly. Returns messages to the editor about documents that are quarantined."""
        self.is_attributed_elsewhere = not self._quarantine.is_involved(suspects, self._log.replayed_uris)
        quarantined = self._quarantine.record_failure(suspects, self._log.replayed_uris)
        requests = self._log.remove_open_requests(self._quarantine.is_about_quarantined)
        bodies = [self._quarantine.reply_to(request) for request in requests]
        for uri in quarantined:
            self._log.remove_document(uri)
            bodies += quarantine.notifications(uri, self._log.has_status_notifications)
        self.has_quarantined = bool(quarantined)
        return bodies

    def record_hang(self, suspects: Suspects) -> list[bytes]:
        """The daemon does not respond. Returns a response to each open request except ``initialize``, which the next
        daemon answers, and one message to the user."""
        bodies = self.record_crash(suspects)
        requests = self._log.remove_open_requests(lambda request: request.method != "initialize")
        bodies += [offline_replies.reply_to(request, HANG_TEXT) for request in requests]
        if not self.has_quarantined:
            bodies.append(offline_replies.warning(HANG_TEXT))
        return bodies

    def record_answer(self, received: Message) -> None:
        """A message of the daemon that may be the answer to an open request."""
        if self._quarantine.has_failures and received.fields.get("result") is not None:
            request = self._log.request_answered_by(received)
            if request is not None and request.method is not None and not request.method.startswith("starcoder/"):
                self._quarantine.record_result(request)

    def intercept(self, sent: Message) -> list[bytes] | None:
        """Replies to a message of the editor that must not be forwarded; None for one that is forwarded."""
        return self._quarantine.intercept(sent, self._log.has_status_notifications)
