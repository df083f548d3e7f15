#!/usr/bin/env bash
# usage: install_jupyterlab.sh FOLDER PYTHON
# Installs JupyterLab and the extension's wheel (`make jupyterlab`) into an environment in FOLDER. About a minute and 300 MB.
# Chromium is this machine's.
set -euo pipefail
folder=$(realpath -m "$1")
python=$2
here=$(realpath "$(dirname "$0")")
"$here/needs.sh" "${CHROMIUM:-chromium}=chromium" -- fonts-dejavu-core
if [ ! -x "$folder/bin/jupyter-lab" ]; then
  "$python" -m venv "$folder"
  "$folder/bin/python" "$here/../../requirements/install.py" jupyterlab
fi
"$folder/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --force-reinstall "$here"/../../dist/starcoder_jupyterlab-*.whl
"$folder/bin/jupyter-lab" --version
