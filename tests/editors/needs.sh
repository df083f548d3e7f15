#!/usr/bin/env bash
# usage: needs.sh PROGRAM[=PACKAGE]... [-- LIBRARY_PACKAGE...]
# Installs the Debian packages of the programs that are missing, and the libraries, if a program is missing and the user is
# root. Otherwise it says which packages are needed. Packages of programs that exist are not touched: they may come from
# elsewhere (Node's own npm conflicts with Debian's).
set -euo pipefail
missing=() packages=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  if ! command -v "${1%%=*}" >/dev/null; then
    missing+=("${1%%=*}")
    packages+=("${1#*=}")
  fi
  shift
done
[ ${#missing[@]} -eq 0 ] && exit 0
[ $# -gt 0 ] && shift
packages+=("$@")
if [ "$(id -u)" -ne 0 ]; then
  echo "${missing[*]} needed: sudo apt-get install ${packages[*]}" >&2
  exit 1
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
