#!/bin/sh
# install.sh DEST: puts the js-libp2p peer and everything that it needs into DEST; DEST/peer runs it.
# js-libp2p needs Node.js 22 or newer, which comes as a package of the same lock file.
set -eu
[ $# -eq 1 ] || { echo "usage: install.sh DEST" >&2; exit 64; }
mkdir -p "$1"
dest=$(cd "$1" && pwd)
cd "$(dirname "$0")"

cp package.json kad.mjs peer.mjs reach.mjs streams.mjs "$dest/"
if ! cmp -s package-lock.json "$dest/package-lock.json" || [ ! -e "$dest/.installed" ]; then
    rm -f "$dest/.installed"
    cp package-lock.json "$dest/"
    (cd "$dest" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    touch "$dest/.installed"
fi

cat >"$dest/.peer.new" <<'PEER'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
for node in "$here"/node_modules/node-linux-*/bin/node node; do
    if "$node" -e 'process.exit(parseInt(process.versions.node) >= 22 ? 0 : 1)' 2>/dev/null; then
        exec "$node" "$here/peer.mjs" "$@"
    fi
done
echo "no Node.js 22 or newer" >&2
exit 1
PEER
chmod +x "$dest/.peer.new"
mv -f "$dest/.peer.new" "$dest/peer"
