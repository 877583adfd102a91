#!/usr/bin/env bash
# Installs the Debian packages that are missing: test/deps.sh nginx curl
# Does nothing, and needs no root, where all are there.
set -euo pipefail

missing=()
for package in "$@"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; this machine has no apt-get, install them in its own way" >&2
  exit 1
fi
if ((EUID != 0)); then
  echo "missing: ${missing[*]}; only root can install them: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${missing[@]}"
