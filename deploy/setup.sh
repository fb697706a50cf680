#!/usr/bin/env bash
# Install what the checkout needs: PYTHON VENV. Run by `make setup`; safe to run again.
set -euo pipefail
python=$1
venv=$2
cd "$(dirname "$0")/.."

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "setup: $python is older than 3.11; call make PYTHON=python3.11 (or newer)" >&2
    exit 1
}

# The broker, and the shared libraries of the Python packages' native code.
missing=()
PATH=$PATH:/usr/sbin
command -v mosquitto >/dev/null || missing+=(mosquitto)
if ((${#missing[@]})); then
    if ! command -v apt-get >/dev/null; then
        echo "setup: please install ${missing[*]} with your system's package manager" >&2
        exit 1
    fi
    as_root=()
    if [ "$(id -u)" != 0 ]; then as_root=(sudo); fi
    echo "setup: installing ${missing[*]} with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -qq
    # Only the program: fleet serve starts its own broker, so no system service is wanted.
    "${as_root[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ ! -x "$venv/bin/python" ]; then
    echo "setup: making $venv with $("$python" --version)"
    "$python" -m venv "$venv"
fi
echo "setup: installing the packages into $venv (about a minute the first time)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable ".[dev]" 2> >(grep -v '^WARNING: Location' >&2)
echo "setup: done"
