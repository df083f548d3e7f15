#!/usr/bin/env bash
# usage: install_neovim.sh FOLDER
# Unpacks Neovim 0.12 or newer with the libraries it needs under FOLDER; FOLDER/nvim runs it. For Debian bookworm and newer,
# which has an older one: the packages of Debian's next release, not installed, with the loader's path patched in.
set -euo pipefail
folder=$(realpath -m "$1")
[ -x "$folder/nvim" ] && exit 0
"$(dirname "$0")/needs.sh" patchelf
mirror=$(awk '/^URIs:/ {print $2; exit} /^deb / {print $2; exit}' /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null)
mkdir -p "$folder"/apt/lists/partial "$folder"/apt/archives/partial "$folder"/packages "$folder"/root/usr/{bin,lib,lib64,sbin}
: > "$folder/apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror forky main" > "$folder/apt/sources.list"
cat > "$folder/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$folder/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$folder/apt/lists";
Dir::State::status "$folder/apt/status";
Dir::Cache "$folder/apt";
APT::Install-Recommends "0";
APT::Sandbox::User "$(id -un)";
CONF
export APT_CONFIG="$folder/apt/apt.conf"
apt-get update -qq
packages=$(apt-get --simulate install neovim | awk '/^Inst/ {print $2}')
# shellcheck disable=SC2086  # a list of words is meant
(cd "$folder/packages" && apt-get download -qq $packages)
cd "$folder/root"
for name in bin lib lib64 sbin; do [ -e "$name" ] || ln -s "usr/$name" "$name"; done
for package in "$folder"/packages/*.deb; do dpkg-deb --fsys-tarfile "$package" | tar x --keep-directory-symlink; done
kind=$(uname -m)-linux-gnu
patchelf --set-interpreter "$(echo "$folder"/root/usr/lib64/ld-linux-*)" --set-rpath "$folder/root/usr/lib/$kind" --force-rpath usr/bin/nvim
cat > "$folder/nvim" <<RUN
#!/usr/bin/env bash
export VIMRUNTIME="$folder/root/usr/share/nvim/runtime"
export LUA_CPATH="$folder/root/usr/lib/$kind/lua/5.1/?.so" LUA_PATH="$folder/root/usr/share/lua/5.1/?.lua;;"
exec "$folder/root/usr/bin/nvim" "\$@"
RUN
chmod +x "$folder/nvim"
"$folder/nvim" --version | head -1
