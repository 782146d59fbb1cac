#!/bin/sh
# Runs a Python script with its requirements installed in a virtual environment outside of the checkout.
#   in-venv.sh REQUIREMENTS SCRIPT [ARGUMENT…]
set -eu

requirements=$1
shift
cache=${XDG_CACHE_HOME:-$HOME/.cache}/verbatim
venv=$cache/venv-$(sha256sum "$requirements" | cut -c 1-12)

if [ ! -e "$venv/.complete" ]; then
    echo "in-venv: installing $requirements into $venv" >&2
    rm -rf "$venv"
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$requirements"
    touch "$venv/.complete"
fi
exec "$venv/bin/python" "$@"
