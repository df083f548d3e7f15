"""``workspace/didChangeConfiguration``: new settings for this client, from the next request on.

Decides that the model stays: it was chosen when the first client came. Adapters that are new are added to it.
"""

from __future__ import annotations

from lsprotocol import types as t

from starcoder_ls.session.session import Session, unwrapped
from starcoder_ls.settings import Settings


def did_change_configuration(session: Session, params: t.DidChangeConfigurationParams) -> None:
    """Sections of other servers, which some editors send along, are passed over in silence."""
    tree = unwrapped(params.settings)
    if tree is None:
        return
    is_wrapped = tree is not params.settings
    is_ours = is_wrapped or any(name in tree for name in Settings.model_fields)
    if not is_ours:
        return
    session.apply(params.settings, "the editor's configuration", is_shared=not is_wrapped)
    session.context.follow_settings()
    if session.settings.model != session.supervisor.model:
        session.show_once("The settings of the model take effect when the server is restarted.")
    session.wanted_adapters.follow()
