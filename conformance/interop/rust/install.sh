#!/bin/sh
# install.sh DEST: builds the peers written in Rust and puts them into
# DEST/rust-libp2p/peer and DEST/litep2p/peer, and the benchmark of rust-libp2p beside the first.
set -eu
[ $# -eq 1 ] || { echo "usage: install.sh DEST" >&2; exit 64; }
mkdir -p "$1"
dest=$(cd "$1" && pwd)
cd "$(dirname "$0")"
CARGO_TARGET_DIR="${INTEROP_CACHE:-$HOME/.cache/libp2p-proto-interop}/rust-target"
export CARGO_TARGET_DIR
jobs=${INTEROP_JOBS:-2}

# litep2p's build script calls the protobuf compiler.
if [ -z "${PROTOC:-}" ] && ! command -v protoc >/dev/null 2>&1; then
    cargo build --quiet --locked --release -j "$jobs" -p protoc-path
    PROTOC=$("$CARGO_TARGET_DIR/release/protoc-path")
    export PROTOC
fi
cargo build --quiet --locked --release -j "$jobs" -p rust-libp2p-peer -p litep2p-peer

place() { # program, folder, name
    mkdir -p "$dest/$2"
    cp "$CARGO_TARGET_DIR/release/$1" "$dest/$2/.$3.new"
    mv -f "$dest/$2/.$3.new" "$dest/$2/$3"
}
place rust-libp2p-peer rust-libp2p peer
place rust-libp2p-bench rust-libp2p bench
place litep2p-peer litep2p peer
