#!/bin/sh
# Makes a Python environment with moto's server, which speaks AWS's protocols, and prints the path of its Python.
#
#   REFGATE_MOTO_CACHE  where it is made, once for each list of requirements; by default under the user's cache folder
#
# Exit code 3: there is no Python that can make one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${REFGATE_MOTO_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/refgate/moto}
python=$(command -v python3 || true)

fail() {
    echo "the tests on AWS Secrets Manager did not run: $1" >&2
    exit 3
}

[ -n "$python" ] || fail "there is no python3 (3.11 or newer) to run moto with"
# The name of the folder changes with whatever goes into it.
sum=$({ cat "$here/requirements.txt" "$here/build.sh"; "$python" -VV; } | sha256sum | cut -c1-12)
target=$cache/$sum

if [ ! -x "$target/bin/python" ]; then
    echo "making a Python environment for moto, which is done once" >&2
    mkdir -p "$cache"
    making=$target.$$
    trap 'rm -rf "$making"' EXIT
    "$python" -m venv "$making" >&2 || fail "python3 cannot make a virtual environment; Debian has it in python3-venv"
    "$making/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt" >&2 ||
        fail "pip cannot install what tests/e2e/moto/requirements.txt names"
    # Whatever is interrupted leaves nothing that looks whole. Another run may be faster, and its folder is as good.
    mv -T "$making" "$target" 2>/dev/null || [ -x "$target/bin/python" ]
fi
echo "$target/bin/python"
