#!/bin/sh
# Finds the programs of a real control plane, builds those that are missing, and prints one line for each: NAME PATH.
#
#   KUBERNETES         which minor: the newest of the folders here by default
#   KUBEBUILDER_ASSETS a folder with some or all of the programs; what it has is taken from there
#   REFGATE_E2E_CACHE  where the others are built, once for each version; by default under the user's cache folder
#
# With the argument `node` there are two more, the kubelet and kube-proxy, for `make node`; what else a node takes is from the
# distribution, and what is missing of it is named.
#
# What is missing is built from Go modules by the go.mod of the version. Exit code 3: neither there nor to be built.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${REFGATE_E2E_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/refgate/control-plane}
assets=${KUBEBUILDER_ASSETS:-}
known=$(cd "$here" && for folder in [0-9]*.[0-9]*/; do echo "${folder%/}"; done | sort -t. -k2 -n | tr '\n' ' ')
newest=$(echo "$known" | awk '{ print $NF }')
minor=${KUBERNETES:-$newest}

fail() {
    echo "$1" >&2
    exit "${2:-2}"
}

[ -f "$here/$minor/go.mod" ] || fail "KUBERNETES=$minor is none of the versions that are supported: $known"

# The name of a folder changes with whatever goes into the programs.
folder_for() {
    sum=$(cat "$here/$1/go.mod" "$here/$1/go.sum" "$here/build.sh" | sha256sum | cut -c1-12)
    echo "$cache/$1-$sum"
}
built=$(folder_for "$minor")
kwok=$(folder_for kwok)

place() {
    case $1 in
        kwok | kwok-stages) echo "$kwok/$1" ;;
        *) echo "$built/$1" ;;
    esac
}

all="etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kwok kwok-stages"
if [ "${1:-}" = node ]; then
    all="$all kubelet kube-proxy"
    lacking=
    for tool in containerd ctr runc iptables conntrack ip busybox unshare nsenter mount openssl; do
        command -v "$tool" >/dev/null || lacking="$lacking $tool"
    done
    [ -x /usr/lib/cni/bridge ] || lacking="$lacking /usr/lib/cni/bridge"
    [ -z "$lacking" ] || fail "make node: missing on this machine:$lacking; on Debian: apt-get install \
containerd runc containernetworking-plugins iptables conntrack iproute2 busybox-static util-linux mount openssl" 3
    [ "$(id -u)" = 0 ] || fail "make node: a kubelet needs root; run it as root, on a machine that you can lose" 3
fi
missing=
for name in $all; do
    [ -n "$assets" ] && [ -e "$assets/$name" ] && continue
    [ -e "$(place "$name")" ] || missing="$missing $name"
done

# Programs of two minors in one control plane would prove nothing about either.
for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
    [ -n "$assets" ] && [ -e "$assets/$name" ] || continue
    found=$("$assets/$name" --version | sed 's/^Kubernetes v\([0-9]*\.[0-9]*\).*/\1/')
    [ "$found" = "$minor" ] || fail "$assets/$name is of $found and KUBERNETES is $minor: choose one of them"
done

if [ -n "$missing" ] && ! command -v go >/dev/null; then
    fail "the end-to-end tests did not run: there is no Go (1.26 or newer) to build$missing with, and KUBEBUILDER_ASSETS names no folder that has them" 3
fi

export CGO_ENABLED=0 GOWORK=off GOFLAGS="-mod=readonly -buildvcs=false -trimpath"
version=$(sed -n 's/.*k8s\.io\/kubernetes v\([0-9.]*\).*/\1/p' "$here/$minor/go.mod")
flags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    # Without them the server calls itself v0.0.0-master, and kubectl complains.
    flags="$flags -X $package.gitVersion=v$version -X $package.gitMajor=${version%%.*} -X $package.gitMinor=${minor#*.}"
    flags="$flags -X $package.gitTreeState=clean -X $package.gitCommit=unknown -X $package.buildDate=1970-01-01T00:00:00Z"
done

# Whatever is interrupted leaves nothing that looks whole.
build() {
    target=$(place "$1")
    mkdir -p "${target%/*}"
    (cd "$here/$2" && go build -ldflags "$3" -o "$target.$$" "$4")
    mv "$target.$$" "$target"
}

for name in $missing; do
    echo "building $name for Kubernetes $version, which is done once (all of them: some ten minutes)" >&2
    case $name in
        etcd) build etcd "$minor" "-s -w" go.etcd.io/etcd/server/v3 ;;
        kwok) build kwok kwok "-s -w" sigs.k8s.io/kwok/cmd/kwok ;;
        kwok-stages)
            # How its nodes and pods come to life; without these files KWOK does nothing.
            (cd "$here/kwok" && go mod download sigs.k8s.io/kwok)
            module=$(cd "$here/kwok" && go list -m -f '{{.Dir}}' sigs.k8s.io/kwok)
            rm -rf "$kwok/stages.$$"
            mkdir -p "$kwok/stages.$$"
            for stage in node/fast node/heartbeat-with-lease pod/fast; do
                for file in "$module/kustomize/stage/$stage"/*.yaml; do
                    [ "${file##*/}" = kustomization.yaml ] || cat "$file" >"$kwok/stages.$$/${file##*/}"
                done
            done
            # Another run may be faster, and its folder is as good.
            mv -T "$kwok/stages.$$" "$kwok/kwok-stages" 2>/dev/null || [ -d "$kwok/kwok-stages" ]
            rm -rf "$kwok/stages.$$"
            ;;
        # Its view of the machine (cAdvisor) comes with cgo.
        kubelet) CGO_ENABLED=1 build kubelet "$minor" "$flags" k8s.io/kubernetes/cmd/kubelet ;;
        *) build "$name" "$minor" "$flags" "k8s.io/kubernetes/cmd/$name" ;;
    esac
done

echo "kubernetes $minor"
for name in $all; do
    if [ -n "$assets" ] && [ -e "$assets/$name" ]; then
        echo "$name $assets/$name"
    else
        echo "$name $(place "$name")"
    fi
done
