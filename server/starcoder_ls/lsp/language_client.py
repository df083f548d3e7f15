"""The client at the other end of a connection: what it declared, and messages and requests to it."""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

from lsprotocol import types as t
from pygls.lsp.server import LanguageServer

from starcoder_ls import __version__
from starcoder_ls.lsp.client_info import ClientInfo
from starcoder_ls.lsp.converter import converter
from starcoder_ls.lsp.pygls_compat import PyglsProtocol

_MAX_WARNINGS, _MAX_WARNING_CHARS = 256, 1000

logger = logging.getLogger(__name__)


class LanguageClient(LanguageServer):
    """pygls' ``LanguageServer``, used for its methods that send to the client.

    ``info`` is empty until ``initialize`` arrives.
    """

    protocol: PyglsProtocol

    def __init__(self) -> None:
        super().__init__("starcoder-ls", __version__, protocol_cls=PyglsProtocol, converter_factory=converter)
        self.info = ClientInfo()
        self._shown_warnings: deque[str] = deque(maxlen=_MAX_WARNINGS)

    def show_message(self, severity: t.MessageType, message: str) -> None:
        """Show ``message`` to the user; only for what the user must act on."""
        self.window_show_message(t.ShowMessageParams(type=severity, message=f"StarCoder: {message}"))

    def warn_once(self, message: str) -> None:
        """Show a warning; a second one with the same text is dropped, since editors repeat their notifications."""
        message = message if len(message) <= _MAX_WARNING_CHARS else f"{message[:_MAX_WARNING_CHARS]}..."
        if message not in self._shown_warnings:
            self._shown_warnings.append(message)
            self.show_message(t.MessageType.Warning, message)

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Log the error's type only: pygls would show its text, which may quote source code, to the user."""
        logger.error("%s in pygls (%s)", type(error).__name__, source.__name__)
