#!/bin/sh
# Checks licences, banned crates and sources, and advisories where the advisory database can be reached.
#   deny.sh TOOLS   the folder to install cargo-deny in, where the machine has none
set -eu

version=0.20.2
tools=$1

if command -v cargo-deny >/dev/null 2>&1; then
    deny=cargo-deny
else
    deny=$tools/bin/cargo-deny
    if ! "$deny" --version 2>/dev/null | grep -q " $version\$"; then
        echo "deny: installing cargo-deny $version into $tools, once (two or three minutes)"
        cargo install cargo-deny --version "$version" --locked --quiet --force --root "$tools"
    fi
fi

"$deny" --locked check licenses bans sources
if timeout 120 "$deny" fetch db >/dev/null 2>&1; then
    "$deny" --locked check advisories
else
    echo "deny: advisories were not checked: the advisory database cannot be reached from here."
fi
