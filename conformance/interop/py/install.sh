#!/bin/sh
# install.sh DEST: puts the py-libp2p peer and everything that it needs into DEST; DEST/peer runs it. Needs Python 3.10 or newer.
set -eu
[ $# -eq 1 ] || { echo "usage: install.sh DEST" >&2; exit 64; }
mkdir -p "$1"
dest=$(cd "$1" && pwd)
cd "$(dirname "$0")"

cp contract.py gossip.py kad.py peer.py streams.py "$dest/"
fetch() {
    "$dest/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r requirements.txt
}
if ! cmp -s requirements.txt "$dest/requirements.txt"; then
    rm -rf "$dest/venv" "$dest/requirements.txt"
    python3 -m venv "$dest/venv" || { apt-get update -q && apt-get install -y -q --no-install-recommends python3-venv && python3 -m venv "$dest/venv"; }
    # What comes without a wheel for this machine is compiled: fastecdsa wants the library of big numbers, all of them a compiler.
    fetch || { apt-get update -q && apt-get install -y -q --no-install-recommends gcc libc6-dev libgmp-dev python3-dev && fetch; }
    "$dest/venv/bin/python" -m compileall -q "$dest/venv/lib" >/dev/null 2>&1 || true
    cp requirements.txt "$dest/"
fi

cat >"$dest/.peer.new" <<'PEER'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/venv/bin/python" "$here/peer.py" "$@"
PEER
chmod +x "$dest/.peer.new"
mv -f "$dest/.peer.new" "$dest/peer"
