#!/usr/bin/env bash
# Run the tests of the converter's doors where their frameworks are: .venv-torch, .venv-tensorflow.
# PYTHON: the interpreter to make them with. Some 3 GB the first time; safe to run again.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}

door() { # VENV EXTRAS REQUIREMENT...: the versions that were tested together
    local venv=$1 extras=$2
    shift 2
    if [ ! -x "$venv/bin/python" ]; then
        echo "test-doors: making $venv"
        "$python" -m venv "$venv"
    fi
    echo "test-doors: installing edgewright-converter[$extras] into $venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint constraints.txt \
        --editable firmware_manifests --editable runtime --editable fleet \
        --editable "converter[$extras,coreml]" \
        "$@" h5py pillow pytest pytest-timeout 2> >(grep -v '^WARNING: Location' >&2)
    "$venv/bin/python" -m pytest -q tests/converter/doors
}

door .venv-torch pytorch torch==2.13.0 onnxscript==0.7.2
door .venv-tensorflow keras,jax \
    tensorflow==2.21.0 keras==3.15.1 tf2onnx==1.17.0 jax==0.10.2 jax2onnx==0.17.1
