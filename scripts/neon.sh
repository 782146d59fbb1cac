#!/bin/sh
# Compiles the engine for 64-bit ARM, warnings denied, and runs its unit tests there, in qemu: whether the NEON
# kernels are right, not how fast they are. Tests that run a whole model are left out: qemu takes minutes for each.
#   neon.sh TOOLS [FILTER…]   the folder for a compiler, where the machine's own cannot do it; names of tests
# The compiler needs a standard library for ARM. Where rustup has none ("rustup target add $target"), that and
# the compiler it belongs to are Debian's rustc-web, unpacked into TOOLS and installed nowhere.
set -eu

target=aarch64-unknown-linux-gnu
tools=$1/neon
shift

if [ ! -e "$(rustc --print target-libdir --target $target)" ]; then
    if [ ! -e "$tools/.complete" ]; then
        echo "neon: unpacking Debian's rustc-web and its library for ARM into $tools, once (100 MB)" >&2
        rm -rf "$tools"
        mkdir -p "$tools/lists/partial" "$tools/cache/archives/partial"
        # Lists and packages are kept apart: the machine's own know nothing of ARM.
        cat >"$tools/apt.conf" <<EOF
APT::Architectures { "$(dpkg --print-architecture)"; "arm64"; };
Dir::State::lists "$tools/lists";
Dir::Cache "$tools/cache";
Acquire::Languages "none";
APT::Sandbox::User "";
EOF
        export APT_CONFIG="$tools/apt.conf"
        apt-get update -qq
        (
            cd "$tools/cache/archives"
            apt-get install -qq -o Debug::NoLocking=1 --download-only --no-install-recommends rustc-web
            apt-get download -qq libstd-rust-web-dev:arm64
            for package in *.deb; do dpkg-deb --extract "$package" "$tools"; done
        )
        unset APT_CONFIG
        rm -rf "$tools/lists" "$tools/cache"
        cat >"$tools/rustc" <<EOF
#!/bin/sh
LD_LIBRARY_PATH=\$(echo "$tools"/usr/lib/*-linux-gnu) exec "$tools/usr/bin/rustc" "\$@"
EOF
        chmod +x "$tools/rustc"
        touch "$tools/.complete"
    fi
    export RUSTC="$tools/rustc"
fi

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-D warnings"
# With the instructions that multiply bytes (dotprod, i8mm), and without.
for processor in max cortex-a72; do
    echo "neon: as $processor"
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -cpu $processor -L /usr/aarch64-linux-gnu"
    cargo test --package verbatim-kernels --package verbatim-vad --package verbatim-whisper --lib --locked \
        --target $target -- --skip reference:: "$@"
done
