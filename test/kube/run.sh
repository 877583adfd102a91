#!/usr/bin/env bash
# Proves image and chart, on a real Kubernetes: `make test-kube`. Arguments go to the
# tests, as -test.run=Node.
#
# As root there is a node too (containerd, kubelet, kube-proxy, in namespaces of their
# own); otherwise, or with SPECMAN_KUBE=control-plane, the control plane alone. The image
# is built here, unless SPECMAN_KUBE_IMAGE is the path of an OCI archive that holds it
# under the name localhost/specman:v1.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ((EUID == 0)) && [[ ${SPECMAN_KUBE:-} != control-plane ]]; then
  test/deps.sh buildah iproute2 ca-certificates
fi
# The first time Kubernetes takes some ten minutes to compile, and more than 3 GiB.
nice -n 19 go run ./internal/testenv/cmd/tools kube helm oras zot >/dev/null
exec go test -tags kube -count 1 -timeout 30m -p 1 -v ./test/image ./test/kube -args "$@"
