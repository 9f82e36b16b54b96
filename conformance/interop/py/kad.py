"""Kademlia with py-libp2p: the service, and what a dialer asks."""

import hashlib

import trio
from libp2p.kad_dht import common, kad_dht, peer_routing, provider_store, value_store
from libp2p.kad_dht.kad_dht import DHTMode, KadDHT
from libp2p.peer.id import ID
from libp2p.records.validator import BlankValidator

NAMESPACE = "/interop/"
# Pause between looks at what py-libp2p has learnt.
POLL = 0.05


def make(host, protocol, dialing):
    # The name is a constant of py-libp2p, which every module of it has imported.
    for module in (common, kad_dht, peer_routing, provider_store, value_store):
        module.PROTOCOL_ID = protocol
    dht = KadDHT(host, DHTMode.CLIENT if dialing else DHTMode.SERVER)
    dht.register_validator("interop", BlankValidator())
    return dht


async def follow(host, dht):
    """Takes whom we are connected to into the routing table: py-libp2p asks only whom it has been told of."""
    while True:
        for peer in host.get_connected_peers():
            if not dht.routing_table.peer_in_table(peer) and known(host, peer):
                await dht.add_peer(peer)
        await trio.sleep(POLL)


def known(host, peer):
    try:
        return str(common.PROTOCOL_ID) in host.get_peerstore().get_protocols(peer)
    except Exception:
        # Not identified yet.
        return False


def multihash(text):
    return b"\x12\x20" + hashlib.sha256(text.encode()).digest()


def some(name, found):
    if not found:
        raise ValueError("nothing was found")
    return {name: [str(item) for item in found]}


async def act(dht, peer, name, text):
    """Does one action; gives the extra fields of its line."""
    await dht.add_peer(peer, skip_server_mode_check=True)
    match name:
        case "kad-put":
            key, _, value = text.partition(":")
            key = NAMESPACE + key
            await dht.put_value(key, value.encode())
            # That peers refuse is logged only, so the peer is asked for it.
            kept = await dht.value_store._get_from_peer(peer, key.encode())
            if kept != value.encode():
                raise ValueError(f"the peer holds {kept!r}")
            return {}
        case "kad-get":
            value = await dht.get_value(NAMESPACE + text)
            if value is None:
                raise ValueError("the record was not found")
            return {"value": value.decode()}
        case "kad-provide":
            if not await dht.provide(multihash(text).hex()):
                raise ValueError("no peer was told")
            return {}
        case "kad-find-providers":
            found = await dht.find_providers(multihash(text).hex())
            return some("providers", [info.peer_id for info in found])
        case "kad-find-peer":
            found = await dht.find_peer(ID.from_string(text))
            return some("addrs", found.addrs if found else [])
        case "kad-closest":
            return some("peers", await dht.peer_routing.find_closest_peers_network(multihash(text)))
