#!/bin/sh
# Runs Node with the packages that a folder's package-lock.json names. They are installed once, into TOOLS, and nowhere
# else.
#   with-node-packages.sh TOOLS FOLDER ARGUMENT…
set -eu

folder=$2
packages=$1/node-$(sha256sum "$folder/package-lock.json" | cut -c 1-12)
shift 2

if [ ! -e "$packages/.complete" ]; then
    echo "with-node-packages: installing $folder/package-lock.json into $packages, once" >&2
    rm -rf "$packages"
    mkdir -p "$packages"
    cp "$folder/package.json" "$folder/package-lock.json" "$packages"
    npm ci --prefix "$packages" --ignore-scripts --no-audit --no-fund --silent
    touch "$packages/.complete"
fi
NODE_PATH=$packages/node_modules exec node "$@"
