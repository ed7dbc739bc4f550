#!/bin/sh
# Gives a cluster that RefGate's manifests were applied to what they leave out: the Secret with the server's certificate, and
# the CA in the webhook configurations. For clusters without cert-manager. Safe to run again, after a renewal for instance.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
dir=$here/dev/pki
replace=false
kubectl=${KUBECTL:-kubectl}

usage() {
    cat <<EOF
Usage: certs/install.sh [--dir DIR] [--replace-ca]

Puts tls.crt and tls.key of DIR (default certs/dev/pki) into the Secret refgate-tls, and ca.crt into the caBundle of RefGate's
webhooks. On a first installation, certs/dev.sh makes the files that DIR does not have. kubectl uses its current context; the
variable KUBECTL names another kubectl, or adds flags to it.

For a certificate of your own CA put the three files into a folder: tls.crt may be a chain, ca.crt may hold several CAs, as
it must while one replaces the other.

A cluster that trusts a CA keeps it: a ca.crt without that CA is refused, because reviews fail until all replicas serve a
certificate of the new one.

  --dir DIR      the folder with ca.crt, tls.crt and tls.key
  --replace-ca   remove a CA that the cluster trusts now: the last step of a change of the CA (certs/README.md)
  -h, --help     this text
EOF
}

fail() {
    echo "certs/install.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --dir) [ $# -ge 2 ] || fail "--dir needs a folder"; dir=$2; shift ;;
        --replace-ca) replace=true ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown argument $1 (--help lists them)" ;;
    esac
    shift
done

# What is not there is told from a cluster that does not answer, or does not let us look: kubectl's own words stand above.
found=$($kubectl get mutatingwebhookconfiguration zz-refgate --ignore-not-found -o name) ||
    fail "$kubectl cannot look for RefGate's webhooks; KUBECTL names another kubectl, or adds --context to it"
[ -n "$found" ] || fail "first: kubectl apply -k manifests/"

configurations="mutatingwebhookconfiguration/zz-refgate validatingwebhookconfiguration/refgate"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The CAs of a PEM file, one line for each: its fingerprint, and how a person knows it.
list_cas() {
    rm -f "$work"/*.pem
    awk -v to="$work" '/-----BEGIN CERTIFICATE-----/ { n++ } n { print >(to "/" n ".pem") }' "$1"
    for ca in "$work"/*.pem; do
        [ -e "$ca" ] || continue
        fingerprint=$(openssl x509 -in "$ca" -noout -fingerprint -sha256) || fail "$2 holds what is not a certificate"
        fingerprint=${fingerprint#*=}
        about=$(openssl x509 -in "$ca" -noout -subject -enddate | sed 's/^subject= *//; s/^notAfter=/valid until /' | paste -sd, -)
        echo "$fingerprint $about, SHA-256 $fingerprint"
    done
}

for configuration in $configurations; do
    bundles=$($kubectl get "$configuration" -o 'jsonpath={.webhooks[*].clientConfig.caBundle}') ||
        fail "$kubectl cannot read $configuration"
    for bundle in $bundles; do
        echo "$bundle" | openssl base64 -d -A
        echo
    done
done >"$work/trusted.crt"
list_cas "$work/trusted.crt" "the caBundle of the cluster" >"$work/all"
sort -u "$work/all" >"$work/trusted"

if [ ! -e "$dir/ca.crt" ] && [ ! -e "$dir/tls.crt" ] && [ ! -e "$dir/tls.key" ]; then
    if [ -s "$work/trusted" ]; then
        cut -d' ' -f2- "$work/trusted" | sed 's/^/the cluster trusts: /' >&2
        fail "$dir has no ca.crt, tls.crt and tls.key, and the cluster trusts a CA already; name the folder of that CA with --dir. \
Where it is lost: certs/dev.sh --dir $dir, and then this command with --replace-ca"
    fi
    "$here/dev.sh" --dir "$dir" >/dev/null
fi
for file in ca.crt tls.crt tls.key; do
    [ -s "$dir/$file" ] || fail "$dir/$file is missing"
done
list_cas "$dir/ca.crt" "$dir/ca.crt" >"$work/new"
while read -r fingerprint about; do
    if ! $replace && ! grep -q "^$fingerprint " "$work/new"; then
        echo "the cluster trusts: $about" >&2
        missing=true
    fi
done <"$work/trusted"
if [ "${missing:-false}" = true ]; then
    fail "$dir/ca.crt does not hold that CA, and reviews would fail until all replicas serve a certificate of the new one; \
name the folder of that CA with --dir, or add its certificate to $dir/ca.crt. --replace-ca removes the CA anyway"
fi
# A wrong pair would be noticed only when reviews fail.
openssl verify -CAfile "$dir/ca.crt" -untrusted "$dir/tls.crt" -purpose sslserver \
    -verify_hostname refgate.refgate-system.svc "$dir/tls.crt" >/dev/null ||
    fail "$dir/tls.crt is not for refgate.refgate-system.svc, or not from $dir/ca.crt"

# Server-side, so that no last-applied annotation holds a second copy of the key.
$kubectl -n refgate-system create secret tls refgate-tls --cert="$dir/tls.crt" --key="$dir/tls.key" --dry-run=client -o yaml |
    $kubectl apply --server-side --force-conflicts --field-manager=refgate-install -f -

bundle=$(openssl base64 -A -in "$dir/ca.crt")
for configuration in $configurations; do
    webhooks=
    # A strategic patch finds each webhook by its name and changes nothing else.
    for name in $($kubectl get "$configuration" -o 'jsonpath={.webhooks[*].name}'); do
        webhooks="$webhooks${webhooks:+,}{\"name\":\"$name\",\"clientConfig\":{\"caBundle\":\"$bundle\"}}"
    done
    $kubectl patch "$configuration" --type=strategic -p "{\"webhooks\":[$webhooks]}"
done

echo "RefGate answers once its replicas have the certificate: $kubectl -n refgate-system rollout status deployment/refgate"
