#!/bin/sh
# Installs the Debian packages whose programs and files are missing, where it may; else says which they are.
#   system-packages.sh run    what the service needs
#   system-packages.sh test   what its tests need besides
#   system-packages.sh bench  what building whisper.cpp needs, which it is measured by
#   system-packages.sh neon   what compiling for ARM and running that needs
set -eu

missing=""

# need PACKAGE PATH-OR-PROGRAM
need() {
    command -v "$2" >/dev/null 2>&1 || [ -e "$2" ] || missing="$missing $1"
}

need ffmpeg ffprobe
need build-essential cc
need ca-certificates /etc/ssl/certs/ca-certificates.crt
if [ "${1:-run}" = test ]; then
    need espeak-ng espeak-ng
    need sox sox
    need pocketsphinx-testdata /usr/share/pocketsphinx/test/data
    need curl curl
    need nodejs node
    need npm npm
    need miscfiles /usr/share/state/us-constitution.gz
    need fortunes /usr/share/games/fortunes/wisdom
fi
if [ "${1:-run}" = bench ]; then
    need cmake cmake
    need g++ c++
fi
if [ "${1:-run}" = neon ]; then
    need gcc-aarch64-linux-gnu aarch64-linux-gnu-gcc
    need libc6-dev-arm64-cross /usr/aarch64-linux-gnu/include/stdio.h
    need qemu-user qemu-aarch64
fi

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "system-packages: please install what Debian calls$missing, then run this again." >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    echo "system-packages: please run \"sudo apt-get install$missing\", then this again." >&2
    exit 1
fi

echo "system-packages: installing$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # both are lists of words
{
    $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 || {
        $sudo apt-get update -qq
        $sudo apt-get install -y -qq --no-install-recommends $missing
    }
}
