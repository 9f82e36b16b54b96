#!/bin/sh
# install.sh DEST: builds the peers written in Go and puts them into DEST/go-libp2p/peer and DEST/kubo/peer, with kubo's own program beside the
# latter as DEST/kubo/ipfs. Everything is a Go module, pinned by go.mod and go.sum.
set -eu
[ $# -eq 1 ] || { echo "usage: install.sh DEST" >&2; exit 64; }
mkdir -p "$1/go-libp2p" "$1/kubo"
dest=$(cd "$1" && pwd)
cd "$(dirname "$0")"
CGO_ENABLED=0
export CGO_ENABLED

build() { # package, place, flags
    package=$1 place=$2
    shift 2
    go build -mod=readonly -trimpath -p "${INTEROP_JOBS:-2}" "$@" -o "$dest/$place.new" "$package"
    mv -f "$dest/$place.new" "$dest/$place"
}
build ./go-libp2p go-libp2p/peer
build github.com/ipfs/kubo/cmd/ipfs kubo/ipfs
build ./kubo kubo/peer -ldflags "-X main.version=$("$dest/kubo/ipfs" version -n)"
