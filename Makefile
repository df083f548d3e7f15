# Five verbs, the same for people, pre-commit and CI; `demo` and `test` set everything up themselves.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: install demo check test test-editors screenshots editors bench docs

install: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	@$(BIN)/starcoder-ls demo

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_conventions.py

test: $(READY)
	$(BIN)/python -m pytest

# The editors' own suites, each in the real editor. Editors are installed under .cache on the first run.
EDITORS := NVIM=$(CURDIR)/.cache/neovim/nvim VSCODE=$(CURDIR)/.cache/vscode/code-server

test-editors: editors
	$(EDITORS) $(BIN)/python -m pytest tests/editors

screenshots: editors
	$(EDITORS) $(BIN)/python docs/screenshots.py

editors: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,editors]'
	tests/editors/install_neovim.sh .cache/neovim
	tests/editors/install_vscode.sh .cache/vscode $(BIN)/python
	cd editors/vscode && npm ci --silent && npm run --silent package

bench: $(READY)
	$(BIN)/python benchmarks/run/startup.py
	$(BIN)/python benchmarks/run/completion.py
	$(BIN)/python benchmarks/run/keystrokes.py
	$(BIN)/python benchmarks/run/decode.py
	$(BIN)/python benchmarks/run/holes.py --into docs/quality.md
	$(BIN)/python benchmarks/run/sharing.py
	$(BIN)/python benchmarks/run/sharing_windows.py

docs: $(READY)
	$(BIN)/python docs/generate.py
