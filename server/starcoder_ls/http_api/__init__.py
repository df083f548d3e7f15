"""An HTTP API over an engine, for programs that do not speak LSP: OpenAI's completions and llama.cpp's infill."""
