#!/usr/bin/env bash
# usage: needs.sh PROGRAM... -- PACKAGE...
# Where a program is missing: installs the Debian packages if run as root, else says which are needed.
set -euo pipefail
missing=()
while [ "$1" != -- ]; do
  command -v "$1" >/dev/null || missing+=("$1")
  shift
done
shift
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
  echo "${missing[*]} needed: sudo apt-get install $*" >&2
  exit 1
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "$@" >/dev/null
