#!/bin/sh
# Runs Python with the packages that a requirements file names. They are installed once, into TOOLS, and
# nowhere else.
#   with-packages.sh TOOLS REQUIREMENTS ARGUMENT…
set -eu

python=${PYTHON:-python3}
packages=$1/python-$(sha256sum "$2" | cut -c 1-12)
requirements=$2
shift 2

if [ ! -e "$packages/.complete" ]; then
    echo "with-packages: installing $requirements into $packages, once" >&2
    rm -rf "$packages"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --no-warn-conflicts --target "$packages" --requirement "$requirements"
    touch "$packages/.complete"
fi
PYTHONPATH=$packages exec "$python" "$@"
