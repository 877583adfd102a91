#!/usr/bin/env bash
# Runs every fuzz target of the module in turn: test/fuzz.sh 30s
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?usage: test/fuzz.sh DURATION}

for package in $(go list ./...); do
  listed=$(go test -list '^Fuzz' "$package")
  # go test takes one fuzz target at a time, so each is named whole.
  for target in $(grep '^Fuzz' <<<"$listed" || true); do
    echo "== $package $target, $time"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
  done
done
