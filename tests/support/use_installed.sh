#!/usr/bin/env bash
# Runs each command that a new user runs, from a folder outside the clone and with a home of its own.
#   tests/support/use_installed.sh FOLDER [RUNS]     FOLDER has the programs `python` and `starcoder-ls` of the environment
# Every exit code must be 0. The first wrong one ends the script with the output of that command.
set -euo pipefail
BIN=$1
RUNS=${2:-5}
HOME=$(mktemp -d)
trap 'rm -rf "$HOME"' EXIT
export HOME XDG_CONFIG_HOME=$HOME/config XDG_CACHE_HOME=$HOME/cache XDG_STATE_HOME=$HOME/state XDG_DATA_HOME=$HOME/data
export XDG_RUNTIME_DIR=$HOME
unset STARCODER_LS_SETTINGS PYTHONPATH
cd "$HOME"
printf 'import json\n\n\ndef load(path):\n    """Return the items of a file."""\n    with open(path) as file:\n        return json.\n' > items.py

use() {
  local code=0 started=$EPOCHREALTIME
  "$BIN/starcoder-ls" "$@" > output.txt 2>&1 || code=$?
  printf '%s: exit code %d, %d ms\n' "$*" $code $(((${EPOCHREALTIME/./} - ${started/./}) / 1000))
  if [ $code -ne 0 ]; then
    cat output.txt
    exit 1
  fi
}

"$BIN/python" -c 'import pathlib, starcoder_ls, sys; sys.exit(not pathlib.Path(starcoder_ls.__file__).is_relative_to(sys.prefix))' \
  || { echo "the package does not lie in $BIN/.."; exit 1; }
use --version
use editor neovim --write
for _ in $(seq "$RUNS"); do
  use complete items.py:7:21
  use explain items.py:4-7
  use doctor
  use demo
done
