#!/usr/bin/env bash
# Run the suite on other Pythons: VERSION... ; one that is not installed is told and passed over.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() { # VERSION: an interpreter that really is that version
    local candidate
    for candidate in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info[:2] != tuple(map(int, '$1'.split('.'))))" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

for version in "$@"; do
    python=$(find_python "$version")
    if [ -z "$python" ]; then
        echo "test-long: Python $version is not installed; passed over"
        continue
    fi
    deploy/setup.sh "$python" ".venv-$version"
    ".venv-$version/bin/python" -m pytest -q -m "not long"
done
