# shellcheck shell=bash
# What demo, test, check and bench have in common. Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Slow things are kept here between runs; everything works without it.
CACHE=${MIMIR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mimir}

# Tests without containers wait for deadlines, disks and each other most of the time, so more of them run at once than
# there are processors.
WAITING_TESTS=$(($(nproc) * 3))

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# In CI each checkout is new, so what cargo builds is kept outside of it.
if [ -n "${CI:-}" ] && [ -z "${CARGO_TARGET_DIR:-}" ]; then
    export CARGO_TARGET_DIR="$CACHE/target"
fi

target_dir() { echo "${CARGO_TARGET_DIR:-$ROOT/target}"; }

# Features for cargo beside the usual ones: OpenSSL is compiled along where the system's is missing or older than 3.
cargo_features() { pkg-config --atleast-version=3.0 libcrypto 2>/dev/null || echo vendored-openssl; }

# Debian packages and machine settings, then Rust.
install_what_is_missing() {
    "$ROOT/scripts/setup" --yes
    if ! command -v cargo >/dev/null && [ -f "$HOME/.cargo/env" ]; then
        # shellcheck disable=SC1091
        . "$HOME/.cargo/env"
    fi
    command -v cargo >/dev/null || install_rust
    wake_podman
}

# Podman without root refuses everything when its processes are gone and its notes are not, as after a reboot that kept /tmp.
# What else is wrong with it is said now, not after minutes of compiling.
wake_podman() {
    [ "$(id -u)" -ne 0 ] || return 0
    local said code=0
    said=$(cd / && podman image exists localhost/mimir-frame 2>&1) || code=$?
    if [[ $said == *'podman system migrate'* ]]; then
        echo "Podman's processes are gone (a reboot?); it is told so: podman system migrate"
        (cd / && podman system migrate)
    elif [ "$code" -gt 1 ]; then
        printf '%s\n' "$said" >&2
        die "podman does not run as $(id -un); that is what it says above. Mend it, then run this again"
    fi
}

install_rust() {
    say "installing Rust for $(id -un)"
    if command -v rustup >/dev/null; then
        rustup default stable
        return
    fi
    # Debian 12 has no rustup and its cargo is too old; this is the installer that Rust's own site names.
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy -c rustfmt ||
        die "Rust could not be installed; install it from https://rustup.rs and run this again"
    # shellcheck disable=SC1091
    . "$HOME/.cargo/env"
}
