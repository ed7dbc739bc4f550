#!/bin/sh
# Gives a cluster that RefGate's manifests were applied to what they leave out: the Secret with the server's certificate, and
# the CA in the webhook configurations. For clusters without cert-manager. Safe to run again, after a renewal for instance.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=$here/dev/pki
kubectl=${KUBECTL:-kubectl}

usage() {
    cat <<EOF
Usage: certs/install.sh [--dir DIR]

Puts tls.crt and tls.key of DIR (default certs/dev/pki) into the Secret refgate-tls, and ca.crt into the caBundle of RefGate's
webhooks. Where DIR has none of them, certs/dev.sh makes them first. kubectl uses its current context; the variable
KUBECTL names another kubectl, or adds flags to it.

For a certificate of your own CA put the three files into a folder: tls.crt may be a chain, ca.crt may hold several CAs, as
it must while one replaces the other.

  --dir DIR   the folder with ca.crt, tls.crt and tls.key
  -h, --help  this text
EOF
}

fail() {
    echo "certs/install.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --dir) [ $# -ge 2 ] || fail "--dir needs a folder"; dir=$2; shift ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown argument $1 (--help lists them)" ;;
    esac
    shift
done

# What is not there is told from a cluster that does not answer, or does not let us look: kubectl's own words stand above.
found=$($kubectl get mutatingwebhookconfiguration zz-refgate --ignore-not-found -o name) ||
    fail "$kubectl cannot look for RefGate's webhooks; KUBECTL names another kubectl, or adds --context to it"
[ -n "$found" ] || fail "first: kubectl apply -k manifests/"

if [ ! -e "$dir/ca.crt" ] && [ ! -e "$dir/tls.crt" ] && [ ! -e "$dir/tls.key" ]; then
    "$here/dev.sh" --dir "$dir" >/dev/null
fi
for file in ca.crt tls.crt tls.key; do
    [ -s "$dir/$file" ] || fail "$dir/$file is missing"
done
# A wrong pair would be noticed only when reviews fail.
openssl verify -CAfile "$dir/ca.crt" -untrusted "$dir/tls.crt" -purpose sslserver \
    -verify_hostname refgate.refgate-system.svc "$dir/tls.crt" >/dev/null ||
    fail "$dir/tls.crt is not for refgate.refgate-system.svc, or not from $dir/ca.crt"

# Server-side, so that no last-applied annotation holds a second copy of the key.
$kubectl -n refgate-system create secret tls refgate-tls --cert="$dir/tls.crt" --key="$dir/tls.key" --dry-run=client -o yaml |
    $kubectl apply --server-side --force-conflicts --field-manager=refgate-install -f -

bundle=$(openssl base64 -A -in "$dir/ca.crt")
for configuration in mutatingwebhookconfiguration/zz-refgate validatingwebhookconfiguration/refgate; do
    webhooks=
    # A strategic patch finds each webhook by its name and changes nothing else.
    for name in $($kubectl get "$configuration" -o 'jsonpath={.webhooks[*].name}'); do
        webhooks="$webhooks${webhooks:+,}{\"name\":\"$name\",\"clientConfig\":{\"caBundle\":\"$bundle\"}}"
    done
    $kubectl patch "$configuration" --type=strategic -p "{\"webhooks\":[$webhooks]}"
done

echo "RefGate answers once its replicas have the certificate: $kubectl -n refgate-system rollout status deployment/refgate"
