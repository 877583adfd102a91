#!/usr/bin/env bash
# Specman on this machine, to try out: `make run`, `make run-zot`, `make push`.
#
#   examples/run.sh layout     serve .run/www from an OCI image layout
#   examples/run.sh zot PATH   the same from a zot, the program at PATH
#   examples/run.sh push       push .run/www again, to where the one above reads
#
# All files are under .run/, all ports on 127.0.0.1, and all ends with Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

# What the caller's shell configures would come before .run/specman.yaml.
unset "${!SPECMAN_@}"
HTTPS_PORT=${HTTPS_PORT:-8443}
OPS_PORT=${OPS_PORT:-8080}
ZOT_PORT=${ZOT_PORT:-5000}

listening() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

need_free() { # need_free PORT VARIABLE
  if listening "$1"; then
    echo "port $1 is in use on this machine; choose another one: make ${MAKE_TARGET} $2=$(($1 + 10000))" >&2
    exit 1
  fi
}

wait_for() { # wait_for PORT PID WHAT
  for _ in {1..300}; do
    if listening "$1"; then return; fi
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
  done
  echo "$3 did not start" >&2
  exit 1
}

push() {
  bin/specman --config .run/specman.yaml push .run/www "$(<.run/reference)"
}

start_zot() { # start_zot PROGRAM
  cat >.run/zot.json <<END
{
  "distSpecVersion": "1.0.1-dev",
  "storage": {"rootDirectory": "$PWD/.run/zot", "gc": false},
  "http": {"address": "127.0.0.1", "port": "$ZOT_PORT"},
  "log": {"level": "warn"}
}
END
  "$1" serve .run/zot.json >.run/zot.log 2>&1 &
  zot=$!
  wait_for "$ZOT_PORT" "$zot" "zot (see .run/zot.log)"
}

configure() { # configure REPOSITORY
  echo "$1:0.0.0" >.run/reference
  cat >.run/specman.yaml <<END
source:
  repository: $1
  plainHTTP: true
  interval: 5s
store:
  dir: .run/store
http:
  listen: 127.0.0.1:$HTTPS_PORT
ops:
  listen: 127.0.0.1:$OPS_PORT
END
}

explain() {
  local cert trust=-k
  cert=$(find .run/store -name tls.crt -print -quit)
  [[ -z $cert ]] || trust="--cacert $cert"
  cat <<END

Specman serves .run/www. In a second terminal:

  curl $trust https://localhost:$HTTPS_PORT/roar/nickfury/versions.yaml
  curl $trust https://localhost:$HTTPS_PORT/roar/nickfury/latest/versions.yaml
  curl $trust https://localhost:$HTTPS_PORT/roar/cloud/
  curl http://localhost:$OPS_PORT/api/v1/status
  bin/specman --config .run/specman.yaml status

Change a file below .run/www, then \`make push\`, and read it again. Ctrl-C ends.

END
}

serve() {
  bin/specman --config .run/specman.yaml serve &
  local service=$! status
  # The terminal sends Ctrl-C to the service too, and a second signal would end it
  # at once; SIGTERM comes to this script alone.
  trap : INT
  trap 'kill -TERM "$service" 2>/dev/null || true' TERM
  wait_for "$HTTPS_PORT" "$service" specman
  explain
  # A trapped signal ends the wait and not the service.
  while true; do
    status=0
    wait "$service" || status=$?
    kill -0 "$service" 2>/dev/null || return "$status"
  done
}

finish() {
  if [[ -n ${zot:-} ]]; then
    kill "$zot" 2>/dev/null || true
    wait "$zot" 2>/dev/null || true
  fi
}

case ${1:-} in
push)
  if [[ ! -f .run/reference ]]; then
    echo "nothing to push to: start \`make run\` or \`make run-zot\` first" >&2
    exit 1
  fi
  push
  exit
  ;;
layout) MAKE_TARGET=run ;;
zot)
  MAKE_TARGET=run-zot
  need_free "$ZOT_PORT" ZOT_PORT
  ;;
*)
  echo "usage: examples/run.sh layout|zot PROGRAM|push" >&2
  exit 2
  ;;
esac

need_free "$HTTPS_PORT" HTTPS_PORT
need_free "$OPS_PORT" OPS_PORT
mkdir -p .run
# What an earlier run's user edited is kept; `make clean` starts afresh.
[[ -d .run/www ]] || cp -a examples/www .run/www
trap finish EXIT
if [[ $1 == zot ]]; then
  start_zot "$2"
  configure "127.0.0.1:$ZOT_PORT/spectro-packs/spectro-manifests/manifest"
else
  configure oci-layout:.run/registry
fi
push
serve
