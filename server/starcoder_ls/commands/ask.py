"""``starcoder-ls ask``: a question to the model, optionally about a file."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from starcoder_ls import settings
from starcoder_ls.commands.support import actions, adapter_option, line_range
from starcoder_ls.commands.support.engine_factory import DaemonOrLocalEngineFactory, loaded_engine
from starcoder_ls.rewrite import perform_action

_ACTION = "ask"


def run(
    question: str,
    file: str | None,
    overlay: dict[str, Any],
    settings_file: Path | None,
    adapter: str | None,
    is_json: bool,
) -> int:
    """The exit code is 0 when an answer was printed. Raises ActionError, DocumentError, ModelError, SettingsError."""
    config = settings.load(overlay, file=settings_file)
    adapter = adapter_option.adapter_name(adapter, config)
    target = replace(line_range.whole_file(file, config.context.ignore), instruction=question)
    route = actions.select_route(config, _ACTION, target, adapter)
    factory = DaemonOrLocalEngineFactory(needs_adapter=lambda name, _: route is not None and name == route.adapter)
    with loaded_engine(config, factory, shows_progress=not is_json) as engine:
        prepared = perform_action.prepare_action(config, engine, _ACTION, target, actions.require_loaded(engine, route))
        return asyncio.run(actions.print_answer(engine, prepared, is_json))
