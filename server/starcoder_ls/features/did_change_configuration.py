"""``workspace/didChangeConfiguration``: new settings of this client, used from the next request on.

The model does not change; new adapters are attached to it.
"""

from __future__ import annotations

from lsprotocol import types as t

from starcoder_ls.session.client_settings import unwrap
from starcoder_ls.session.session import Session
from starcoder_ls.settings import Settings


def did_change_configuration(session: Session, params: t.DidChangeConfigurationParams) -> None:
    """Settings without a section of this server, which some editors send, are ignored."""
    tree = unwrap(params.settings)
    if tree is None:
        return
    is_wrapped = tree is not params.settings
    has_own_section = is_wrapped or any(name in tree for name in Settings.model_fields)
    if not has_own_section:
        return
    session.client_settings.apply(params.settings, "the editor's configuration", has_other_sections=not is_wrapped)
    session.on_settings_changed()
    if session.supervisor.model is not None and not session.supervisor.serves(session.settings):
        session.client.warn_once("The settings of the model take effect when the server is restarted.")
    session.adapter_sync.sync()
