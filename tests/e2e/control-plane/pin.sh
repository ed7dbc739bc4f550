#!/bin/sh
# Pins a Kubernetes version for the end-to-end tests: pin.sh 1.36.3 writes 1.36/go.mod and 1.36/go.sum.
# Needs Go and its module proxy. The folder holds no Go source: the `tool` lines name the programs.
set -eu
cd "$(dirname "$0")"
version=${1:?usage: pin.sh VERSION, for example 1.36.3}
minor=${version%.*}
mkdir -p "$minor"
# Kubernetes takes its staging modules from its own tree; others get them from the proxy, as v0.MINOR.PATCH.
staging=$(go mod download -json "k8s.io/kubernetes@v$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
{
    cat <<MOD
module refgate.dev/control-plane

go 1.26.0

tool (
	go.etcd.io/etcd/server/v3
	k8s.io/kubernetes/cmd/kube-apiserver
	k8s.io/kubernetes/cmd/kube-controller-manager
	k8s.io/kubernetes/cmd/kube-proxy
	k8s.io/kubernetes/cmd/kube-scheduler
	k8s.io/kubernetes/cmd/kubectl
	k8s.io/kubernetes/cmd/kubelet
)

require k8s.io/kubernetes v$version

replace (
MOD
    sed -n "s|^[[:space:]]*\(k8s.io/[a-z-]*\) => ./staging/.*|	\1 => \1 v0.${version#1.}|p" "$staging"
    echo ")"
} >"$minor/go.mod"
rm -f "$minor/go.sum"
cd "$minor"
GOFLAGS=-mod=mod go mod tidy
