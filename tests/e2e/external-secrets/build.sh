#!/bin/sh
# Finds the controller of External Secrets Operator and its CRDs, builds it if it is missing, and prints one line for each:
# NAME PATH.
#
#   REFGATE_ESO_CACHE  where it is built, once for each version; by default under the user's cache folder
#
# It is built from its Go module by the go.mod here. Exit code 3: neither there nor to be built.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${REFGATE_ESO_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/refgate/external-secrets}
module=github.com/external-secrets/external-secrets
# The name of the folder changes with whatever goes into it.
sum=$(cat "$here/go.mod" "$here/go.sum" "$here/build.sh" | sha256sum | cut -c1-12)
target=$cache/$sum
export CGO_ENABLED=0 GOWORK=off GOFLAGS="-mod=readonly -buildvcs=false -trimpath"

if [ ! -x "$target/external-secrets" ] || [ ! -e "$target/crds.yaml" ]; then
    command -v go >/dev/null || {
        echo "the tests on External Secrets Operator did not run: there is no Go (1.26 or newer) to build it with" >&2
        exit 3
    }
    echo "building External Secrets Operator, which is done once (some ten minutes)" >&2
    making=$target.$$
    mkdir -p "$making"
    trap 'rm -rf "$making"' EXIT
    (cd "$here" && go build -ldflags "-s -w" -o "$making/external-secrets" "$module")
    cp "$(cd "$here" && go list -m -f '{{.Dir}}' "$module")/deploy/crds/bundle.yaml" "$making/crds.yaml"
    # Whatever is interrupted leaves nothing that looks whole. Another run may be faster, and its folder is as good.
    mv -T "$making" "$target" 2>/dev/null || [ -x "$target/external-secrets" ]
fi
echo "external-secrets $target/external-secrets"
echo "crds $target/crds.yaml"
