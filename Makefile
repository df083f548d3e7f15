# Entry points for people, pre-commit and CI. Each of them sets up .venv first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What runs the server, without quantization and the tools of developers. An environment with all packages has it too.
RUN_READY := $(if $(wildcard $(READY)),$(READY),$(VENV)/.ready-run)

.PHONY: install demo check test perf test-repeat fuzz test-editors screenshots editors vsix jupyterlab wheel client bench soak exit-codes docs lock audit network-faults

install: $(READY)

$(READY) $(VENV)/.ready-run: pyproject.toml $(addprefix requirements/,run.txt dev.txt torch.txt cuda.txt install.py)
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python requirements/install.py $(if $(findstring run,$(@F)),run,dev)
	touch $@

demo: $(RUN_READY)
	@$(BIN)/starcoder-ls demo

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=server:tests/support:editors/jupyterlab $(BIN)/mypy tests/editors editors/jupyterlab/starcoder_jupyterlab  # most of these tests run only where the editors are installed
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/test_conventions.py

# The tests start hundreds of processes: they must not compile every module again where the environment forbids to keep it.
test test-repeat: export PYTHONDONTWRITEBYTECODE :=

# Three processes run the tests, on two cores as well: some tests wait for other processes. A plain `pytest` runs them in one.
WORKERS ?= 3

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# Bounds on time. Run these on a machine that does nothing else.
perf: $(READY)
	$(BIN)/python -m pytest -m perf

# The suite TIMES times while other processes keep all cores busy: no test may depend on the load of the machine.
TIMES ?= 10

test-repeat: $(READY)
	PYTHON=$(BIN)/python tests/support/run_under_load.sh $(TIMES) -n $(WORKERS) --dist worksteal

# Coverage-guided fuzzing of all harnesses in tests/fuzz, each for an equal share of MINUTES. Exits with 1 on a finding;
# new inputs and the report are in .cache/fuzz. HARNESSES="framing settings_sources" runs only these.
MINUTES ?= 60

fuzz: $(READY)
	$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python requirements/install.py fuzz
	$(BIN)/python tests/fuzz/run.py --minutes $(MINUTES) $(if $(HARNESSES),--only $(HARNESSES))

# The tests of the editor clients, each in the real editor. The first run installs the editors under .cache.
EDITORS := NVIM=$(CURDIR)/.cache/neovim/nvim VSCODE=$(CURDIR)/.cache/vscode/code-server JUPYTERLAB=$(CURDIR)/.cache/jupyterlab/bin/jupyter-lab

test-editors: editors
	$(EDITORS) $(BIN)/python -m pytest tests/editors

screenshots: editors
	$(EDITORS) $(BIN)/python docs/screenshots.py
	$(EDITORS) $(BIN)/python docs/animation.py

editors: $(READY)
	$(BIN)/python requirements/install.py editors
	tests/editors/install_neovim.sh .cache/neovim
	tests/editors/install_vscode.sh .cache/vscode $(BIN)/python
	$(MAKE) --no-print-directory vsix jupyterlab
	tests/editors/install_jupyterlab.sh .cache/jupyterlab $(BIN)/python

# The VS Code extension, editors/vscode/starcoder-ls.vsix. It needs Node.js 20.
vsix:
	cd editors/vscode && npm ci --silent && npm run --silent package

# The JupyterLab extension, a wheel in dist. It needs Node.js 20.
jupyterlab: $(RUN_READY)
	cp LICENSE editors/jupyterlab
	cd editors/jupyterlab && npm ci --silent && npm run --silent build
	rm -rf editors/jupyterlab/build
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./editors/jupyterlab

# The wheel with the editor clients, in dist. SOURCE_URL=https://… is the public repository, for the links of its page.
export SOURCE_URL
wheel: vsix $(RUN_READY)
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .

# The wheel of starcoder-ls-client, the program without an engine, in dist.
client: $(RUN_READY)
	$(BIN)/python -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --wheel-dir dist ./client

bench: $(READY)
	$(BIN)/python benchmarks/run/startup.py
	$(BIN)/python benchmarks/run/completion.py
	$(BIN)/python benchmarks/run/keystrokes.py
	$(BIN)/python benchmarks/run/decode.py
	$(BIN)/python benchmarks/run/holes.py --into docs/quality.md
	$(BIN)/python benchmarks/run/sharing.py
	$(BIN)/python benchmarks/run/sharing_windows.py

# HOURS of typing in several windows while processes are killed and stopped at random. SEED=N repeats a run.
HOURS ?= 2

soak: $(READY)
	$(BIN)/python -c 'import matplotlib' 2>/dev/null || $(BIN)/python requirements/install.py soak
	$(BIN)/python benchmarks/run/soak.py --hours $(HOURS) $(if $(SEED),--seed $(SEED))

# Every command RUNS times beside busy processes: a table of wrong exit codes.
RUNS ?= 6

exit-codes: $(READY)
	$(BIN)/python tests/support/run_exit_codes.py --times $(RUNS)

# Every fault of the network to a remote engine RUNS times: a table of what a developer gets.
network-faults: RUNS = 20
network-faults: $(READY)
	$(BIN)/python tests/support/run_network_faults.py --times $(RUNS)

docs: $(READY)
	$(BIN)/python docs/generate.py

# The tools of these two have an environment of their own, so that they are no part of what is audited.
AUDIT_TOOLS := .cache/audit

$(AUDIT_TOOLS)/.ready: requirements/audit.txt
	test -x $(AUDIT_TOOLS)/bin/python || $(PYTHON) -m venv $(AUDIT_TOOLS)
	$(AUDIT_TOOLS)/bin/python requirements/install.py audit
	touch $@

# The versions and hashes of all packages. LOCK_OPTIONS="--upgrade-package NAME" takes a newer version; `--upgrade`, of all.
lock: $(AUDIT_TOOLS)/.ready
	$(AUDIT_TOOLS)/bin/python requirements/lock.py $(LOCK_OPTIONS)

# Known vulnerabilities of the installed packages, and an SBOM, in build/audit.
audit: $(READY) $(AUDIT_TOOLS)/.ready
	$(AUDIT_TOOLS)/bin/python requirements/audit.py $(BIN)/python
