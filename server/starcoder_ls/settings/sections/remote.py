"""The settings of a model that a serving engine on another machine runs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from starcoder_ls.settings.sections.section import Section


class Remote(Section):
    """A vLLM or llama.cpp server that runs the model in place of this machine. Prompts are sent to it, with secrets
    masked. docs/teams.md says how to set one up. A change takes effect when the language server is restarted."""

    url: str = Field(default="", pattern=r"^$|^https?://\S+$")
    """Such as `https://models.example:8000`; empty: the model runs on this machine. `http://` is accepted for this
    machine only. `--engine URL` overrides it, and `--engine local` empties it."""

    token_file: str = ""
    """File with the bearer token, which only you may be able to read (mode 600). Without it, the environment variable
    `STARCODER_LS_REMOTE_TOKEN` is used."""

    ca_file: str = ""
    """Certificates (PEM) that the server's certificate is checked with; empty: those of the system."""

    dialect: Literal["auto", "vllm", "llama.cpp"] = "auto"
    """The kind of server. `auto` detects it."""

    model: str = ""
    """Name of the model on the server; empty: the first model that it lists."""

    tokenizer: str = ""
    """`bundled`, or a folder with the tokenizer.json of the server's model, and its other tokenizer and config files
    for chat formats and end tokens; empty: that of `model.name`."""

    tokenizer_sha256: str = Field(default="", pattern=r"^$|^[0-9a-fA-F]{64}$")
    """SHA-256 of tokenizer.json; another file is refused. Empty: any file whose token ids agree with the server's."""

    fallback: Literal["none", "local"] = "none"
    """`local`: also load the model of the section `model` on this machine. It answers while the server cannot be
    reached."""

    fallback_after_ms: int = Field(default=800, ge=50, le=60_000)
    """With a fallback: how many milliseconds a token may take before the local model answers instead, or continues the
    answer."""

    prefill: Literal["off", "idle"] = "off"
    """`idle`: let the server read the prompt when nothing has been typed for 150 ms. Useful only with editors that do
    not request a suggestion at every key."""
