#!/usr/bin/env bash
# Run the suite on other Pythons: VERSION... ; one that is not installed is told and passed over.
set -euo pipefail
cd "$(dirname "$0")/.."
for version in "$@"; do
    python=$(command -v "python$version" || ls "$HOME"/.pyenv/versions/"$version".*/bin/python 2>/dev/null | tail -n 1 || true)
    if [ -z "$python" ]; then
        echo "test-long: Python $version is not installed; passed over"
        continue
    fi
    deploy/setup.sh "$python" ".venv-$version"
    ".venv-$version/bin/python" -m pytest -q
done
