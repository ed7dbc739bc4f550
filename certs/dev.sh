#!/bin/sh
# Makes a development CA and a server certificate for RefGate's webhook. Plain POSIX sh and openssl (1.1.1 or newer).
set -eu

dir=$(cd "$(dirname "$0")" && pwd)/dev/pki
days=365
force=false

usage() {
    cat <<EOF
Usage: certs/dev.sh [--dir DIR] [--days N] [--force]

Makes, in certs/dev/pki/ (git ignores certs/dev/):
  ca.crt, ca.key     a development CA, valid for ten years
  tls.crt, tls.key   the server's pair, for refgate.refgate-system.svc, localhost, 127.0.0.1 and ::1

What is there and good is kept: a second run changes nothing, and only renews the server's pair when it ends within
30 days or is not from this CA.

  --dir DIR   write to DIR instead
  --days N    let the server's certificate be valid for N days (default $days)
  --force     make everything new, the CA too: whoever trusts the old one has to be told
  -h, --help  this text
EOF
}

fail() {
    echo "certs/dev.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --dir) [ $# -ge 2 ] || fail "--dir needs a folder"; dir=$2; shift ;;
        --days) [ $# -ge 2 ] || fail "--days needs a number"; days=$2; shift ;;
        --force) force=true ;;
        -h | --help) usage; exit 0 ;;
        *) fail "unknown argument $1 (--help lists them)" ;;
    esac
    shift
done
case $days in
    '' | *[!0-9]* | 0*) fail "--days $days is not a number of days" ;;
esac
command -v openssl >/dev/null || fail "openssl is not installed"

# Keys are for their owner alone from the moment they exist.
umask 077
mkdir -p "$dir"

# OpenSSL is silent unless it fails.
quietly() {
    "$@" 2>"$dir/openssl.log" || { cat "$dir/openssl.log" >&2; fail "openssl failed"; }
    rm -f "$dir/openssl.log"
}

new_key() {
    quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

# A certificate and a key that belong together.
is_pair() {
    [ -s "$1" ] && [ -s "$2" ] &&
        [ "$(openssl x509 -in "$1" -noout -pubkey 2>/dev/null)" = "$(openssl pkey -in "$2" -pubout 2>/dev/null)" ]
}

ca_is_good() {
    is_pair "$dir/ca.crt" "$dir/ca.key" && openssl x509 -in "$dir/ca.crt" -noout -checkend 2592000 >/dev/null
}

tls_is_ours() {
    is_pair "$dir/tls.crt" "$dir/tls.key" &&
        openssl verify -CAfile "$dir/ca.crt" -purpose sslserver "$dir/tls.crt" >/dev/null 2>&1
}

tls_is_good() {
    tls_is_ours && openssl x509 -in "$dir/tls.crt" -noout -checkend 2592000 >/dev/null
}

if ! $force && [ -e "$dir/ca.crt" ] && [ ! -e "$dir/ca.key" ]; then
    # A CA that clusters may trust, with its key kept elsewhere.
    tls_is_good ||
        fail "$dir/ca.key is missing, and the server's pair needs it; put it back, or --force makes a new CA in the place of $dir/ca.crt"
elif $force || ! ca_is_good; then
    # Never over what somebody may still need.
    if ! $force && [ -e "$dir/ca.key" ]; then
        fail "the CA in $dir is broken or ends within 30 days; --force makes a new one"
    fi
    new_key "$dir/ca.key"
    cat >"$dir/ca.cnf" <<EOF
[req]
prompt = no
distinguished_name = name
x509_extensions = ca
[name]
CN = RefGate development CA
[ca]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
EOF
    quietly openssl req -x509 -new -sha256 -days 3650 -config "$dir/ca.cnf" -key "$dir/ca.key" -out "$dir/ca.crt"
    rm -f "$dir/ca.cnf" "$dir/tls.crt"
    echo "made $dir/ca.crt"
fi

if ! tls_is_good; then
    new_key "$dir/tls.key.new"
    cat >"$dir/tls.cnf" <<EOF
[req]
prompt = no
distinguished_name = name
[name]
CN = refgate.refgate-system.svc
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:refgate.refgate-system.svc, DNS:localhost, IP:127.0.0.1, IP:::1
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
EOF
    serial=0x$(openssl rand -hex 16 | sed 's/^./1/')
    quietly openssl req -new -sha256 -config "$dir/tls.cnf" -key "$dir/tls.key.new" -out "$dir/tls.csr"
    quietly openssl x509 -req -sha256 -days "$days" -in "$dir/tls.csr" -CA "$dir/ca.crt" -CAkey "$dir/ca.key" \
        -set_serial "$serial" -extfile "$dir/tls.cnf" -extensions server -out "$dir/tls.crt.new"
    mv "$dir/tls.key.new" "$dir/tls.key"
    mv "$dir/tls.crt.new" "$dir/tls.crt"
    rm -f "$dir/tls.csr" "$dir/tls.cnf"
    tls_is_ours || fail "the certificate does not verify, which is a fault of this script or of openssl"
    echo "made $dir/tls.crt, $(openssl x509 -in "$dir/tls.crt" -noout -enddate | sed 's/notAfter=/valid until /')"
fi

cat <<EOF

To serve with it:
  refgate serve --tls-cert $dir/tls.crt --tls-key $dir/tls.key …

To give it to a cluster, after kubectl apply -k manifests/:
  certs/install.sh --dir $dir
which comes to:
  kubectl -n refgate-system create secret tls refgate-tls --cert=$dir/tls.crt --key=$dir/tls.key
  and in zz-refgate and refgate (the webhook configurations), for each webhook:
  clientConfig.caBundle: \$(openssl base64 -A -in $dir/ca.crt)
EOF
