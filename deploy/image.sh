#!/usr/bin/env bash
# Builds the container image with docker, podman or buildah, whichever works here.
#
#   IMAGE        name and tag                           specman:VERSION
#   VERSION      what the program says it is            devel
#   REVISION     the commit                             unknown
#   PLATFORM     linux/amd64 or linux/arm64             this machine's
#   BUILD_IMAGE  base of the build stage                see Dockerfile
#   GOPROXY      where the build gets Go modules from   Go's default
#
# Further arguments go to the builder as they are.
set -euo pipefail
cd "$(dirname "$0")/.."

VERSION=${VERSION:-devel}
REVISION=${REVISION:-unknown}
# A "+" has a place in versions, but none in tags.
IMAGE=${IMAGE:-specman:${VERSION//+/-}}
# All dates in the image are the commit's, so that building it again gives the same.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
CREATED=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
export SOURCE_DATE_EPOCH

case $(uname -m) in
aarch64 | arm64) here=linux/arm64 ;;
*) here=linux/amd64 ;;
esac
PLATFORM=${PLATFORM:-$here}

found=()
builder=
for candidate in docker podman buildah; do
  command -v "$candidate" >/dev/null || continue
  if "$candidate" info >/dev/null 2>&1; then
    builder=$candidate
    break
  fi
  found+=("$candidate")
done
if [[ -z $builder ]]; then
  if ((${#found[@]})); then
    echo "cannot build the image: ${found[*]} is installed, but \`${found[0]} info\` fails (is its engine running?)" >&2
  else
    echo "cannot build the image: none of docker, podman and buildah is installed" >&2
    echo "on Debian: apt-get install buildah crun" >&2
  fi
  exit 1
fi

args=(--tag "$IMAGE" --platform "$PLATFORM"
  --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION"
  --build-arg "CREATED=$CREATED" --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH")
for name in BUILD_IMAGE GOPROXY; do
  [[ -z ${!name:-} ]] || args+=(--build-arg "$name=${!name}")
done
case $builder in
docker) export DOCKER_BUILDKIT=1 ;; # the old builder knows no BUILDPLATFORM
# BuildKit takes the date from the build argument and knows where it runs; to these
# two, in the versions of Debian 12, both have to be said.
podman | buildah) args+=(--timestamp "$SOURCE_DATE_EPOCH" --build-arg "BUILDPLATFORM=$here") ;;
esac

echo "building $IMAGE with $builder"
"$builder" build "${args[@]}" "$@" .
