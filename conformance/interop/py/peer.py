"""py-libp2p behind the interoperability command line."""

import signal
import sys
from contextlib import AsyncExitStack
import time
from importlib.metadata import version

import trio
from libp2p import new_host
from libp2p.crypto import ed25519, rsa, secp256k1
from libp2p.crypto.x25519 import create_new_key_pair as new_noise_keys
from libp2p.host.ping import PingService
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.identity.identify_push.identify_push import ID_PUSH, push_identify_to_peer
from libp2p.crypto.serialization import deserialize_public_key
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.perf import PerfService
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL_ID, Transport as NoiseTransport
from libp2p.security.tls.transport import PROTOCOL_ID as TLS_PROTOCOL_ID, TLSTransport
from libp2p.stream_muxer.mplex.mplex import MPLEX_PROTOCOL_ID, Mplex
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_PROTOCOL_ID, Yamux
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils.varint import read_length_prefixed_protobuf
from multiaddr import Multiaddr

import contract
import gossip
import kad
import streams

IMPL = "py-libp2p"
SERVICES = ["identify", "push", "ping", "perf", "echo", "reqresp", "gossip", "kad"]
# py-libp2p makes ECDSA keys, but has no way to write one into a message or to sign with it.
KEYS = ["ed25519", "secp256k1", "rsa"]
# Pause between looks at what py-libp2p has learnt: it has no event for that.
POLL = 0.05


def key_pair(options):
    if options.seed is not None:
        return ed25519.create_new_key_pair(options.seed)
    match options.key:
        case "secp256k1":
            return secp256k1.create_new_key_pair()
        case "rsa":
            return rsa.create_new_key_pair(2048)
        case _:
            return ed25519.create_new_key_pair()


def make_host(options):
    keys = key_pair(options)
    security = {
        "noise": lambda: (NOISE_PROTOCOL_ID, NoiseTransport(keys, noise_privkey=new_noise_keys().private_key)),
        "tls": lambda: (TLS_PROTOCOL_ID, TLSTransport(keys)),
        "plaintext": lambda: (PLAINTEXT_PROTOCOL_ID, InsecureTransport(keys)),
    }
    muxers = {"yamux": (YAMUX_PROTOCOL_ID, Yamux), "mplex": (MPLEX_PROTOCOL_ID, Mplex)}
    # Only the transports of these addresses are made, also to dial.
    addrs = options.listen + ([options.addr.partition("/p2p/")[0]] if options.addr else [])
    return new_host(
        key_pair=keys,
        listen_addrs=[Multiaddr(addr) for addr in addrs],
        sec_opt=dict(security[name]() for name in options.security or ["noise", "tls"]),
        muxer_opt=dict(muxers[name] for name in options.muxers or ["yamux"]),
    )


def serve(host, protocol, handler):
    async def guarded(stream):
        try:
            await handler(stream)
        except Exception as error:
            print(f"{protocol}: {contract.describe(error)}", file=sys.stderr)
            await stream.reset()

    host.set_stream_handler(protocol, guarded)


async def report_protocols(host):
    """Prints a line whenever the protocols of a connected peer become known or change."""
    known = {}
    while True:
        await trio.sleep(POLL)
        peers = host.get_connected_peers()
        known = {peer: protocols for peer, protocols in known.items() if peer in peers}
        for peer in peers:
            try:
                protocols = sorted(host.get_peerstore().get_protocols(peer))
            except Exception:
                # Not identified yet.
                continue
            if protocols and known.get(peer) != protocols:
                known[peer] = protocols
                contract.line(event="identify-push", peer=str(peer), protocols=protocols)


class Parts:
    """What runs beside the host where it is asked for."""

    def __init__(self, host, options):
        uses = lambda service, action: options.does(action) if options.dialing else options.wants(service)
        self.kad = kad.make(host, options.kad, options.dialing) if uses("kad", "kad-") else None
        self.pubsub = gossip.make(host, options.pubsub) if uses("gossip", "gossip") else None
        self.services = [self.kad] if self.kad else []
        self.services += [self.pubsub, self.pubsub.router] if self.pubsub else []

    async def start(self, stack):
        for service in self.services:
            # FloodSub has nothing to run.
            if hasattr(service, "run"):
                await stack.enter_async_context(background_trio_service(service))
        if self.pubsub:
            await self.pubsub.wait_until_ready()


async def listen(options):
    mounted = [name for name in SERVICES if options.wants(name)]
    host = make_host(options)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with (
            host.run(listen_addrs=[Multiaddr(addr) for addr in options.listen]), trio.open_nursery() as nursery,
            AsyncExitStack() as stack,
        ):
            parts = Parts(host, options)
            await parts.start(stack)
            if parts.kad:
                nursery.start_soon(kad.follow, host, parts.kad)
            if parts.pubsub:
                for topic in options.topics or ["interop"]:
                    await gossip.acknowledge(parts.pubsub, topic, nursery)
            for addr in options.peers:
                await host.connect(info_from_p2p_addr(Multiaddr(addr)))
            if "echo" in mounted:
                serve(host, streams.ECHO, streams.serve_echo)
            if "reqresp" in mounted:
                serve(host, streams.REQRESP, streams.serve_reqresp)
            if "perf" in mounted:
                await PerfService(host).start()
            contract.line(
                event="listening", peerId=str(host.get_id()), addrs=[str(addr) for addr in host.get_addrs()],
                impl=IMPL, version=version("libp2p"), services=mounted,
            )
            nursery.start_soon(report_protocols, host)
            with trio.move_on_after(options.timeout):
                await signals.__anext__()
            # An end that does not come by itself is not worth waiting for.
            end(contract.OK)


def end(code):
    sys.stdout.flush()
    sys.stderr.flush()
    import os

    os._exit(code)


async def ask_identity(host, peer):
    """Asks the peer itself: py-libp2p keeps neither the agent nor the observed address of the answer that it gets on its own."""
    stream = await host.new_stream(peer, [IDENTIFY])
    message = Identify()
    message.ParseFromString(await read_length_prefixed_protobuf(stream))
    await stream.close()
    if ID.from_pubkey(deserialize_public_key(message.public_key)) != peer:
        raise ValueError("the message is from another peer")
    if not message.agent_version:
        raise ValueError("the agent version is empty")
    return message


async def act(host, parts, addr, peer, action):
    """Does one action; gives the extra fields of its line."""
    name, _, text = action.partition(":")
    match name:
        case "ping":
            return {"rttMs": await PingService(host).ping(peer, contract.number(text or "3"))}
        case "identify":
            message = await ask_identity(host, peer)
            return {
                "agentVersion": message.agent_version, "protocolVersion": message.protocol_version,
                "protocols": sorted(message.protocols), "listenAddrs": [str(Multiaddr(addr)) for addr in message.listen_addrs],
                "observedAddr": str(Multiaddr(message.observed_addr)) if message.observed_addr else None,
            }
        case "push":
            if not text.startswith("/"):
                raise ValueError(f"{text!r} is no protocol name")
            serve(host, text, lambda stream: stream.reset())
            if not await push_identify_to_peer(host, peer):
                raise RuntimeError(f"{ID_PUSH} failed; the reason is on standard error")
            return {}
        case "perf":
            up, _, down = text.partition(":")
            up, down = contract.number(up), contract.number(down)
            async for output in PerfService(host).measure_performance(addr, up, down):
                result = output
            return {"upBytes": result["upload_bytes"], "downBytes": result["download_bytes"], "seconds": result["time_seconds"]}
        case "echo":
            echo = (await streams.ask(await host.new_stream(peer, [streams.ECHO]), text.encode())).decode()
            if echo != text:
                raise ValueError(f"sent {text!r}, got {echo!r}")
            return {"echo": echo}
        case "reqresp":
            response = (await streams.ask(await host.new_stream(peer, [streams.REQRESP]), text.encode())).decode()
            if response != f"re:{text}":
                raise ValueError(f"sent {text!r}, got {response!r}")
            return {"response": response}
        case "gossip":
            return await gossip.act(parts.pubsub, peer, text)
        case _ if name.startswith("kad-"):
            return await kad.act(parts.kad, peer, name, text)
        case "wait":
            await trio.sleep(float(text))
            return {}
        case "alive":
            if peer not in host.get_connected_peers():
                raise RuntimeError("the connection is closed")
            return {}
        case _:
            raise contract.Unsupported(f"{IMPL} cannot do {name}")


async def dial(options):
    host = make_host(options)
    addr = Multiaddr(options.addr)
    deadline = trio.current_time() + options.timeout
    async with host.run(listen_addrs=[Multiaddr(addr) for addr in options.listen]), AsyncExitStack() as stack:
        parts = Parts(host, options)
        await parts.start(stack)
        info = info_from_p2p_addr(addr)
        begun = time.monotonic()
        try:
            with trio.fail_at(deadline):
                await host.connect(info)
        except Exception as error:
            contract.line(do_="connect", ok=False, error=contract.describe(error))
            end(contract.FAILED)
        contract.line(
            do_="connect", ok=True, ms=(time.monotonic() - begun) * 1000, peerId=str(info.peer_id),
            security=None, muxer=None, relayed=False,
        )
        code = contract.OK
        for action in options.actions:
            try:
                with trio.fail_at(deadline):
                    fields = await act(host, parts, addr, info.peer_id, action)
                contract.line(do_=action, ok=True, **fields)
            except contract.Unsupported as error:
                contract.line(do_=action, ok=False, unsupported=True, error=str(error))
                code = code or contract.UNSUPPORTED
            except Exception as error:
                contract.line(do_=action, ok=False, error=contract.describe(error))
                code = contract.FAILED
        with trio.move_on_after(1):
            await host.disconnect(info.peer_id)
        end(code)


def main():
    options = contract.read_options()
    what = contract.lacks(options, SERVICES, KEYS, gossip.PROTOCOLS)
    if what is not None:
        if options.dialing:
            contract.line(do_="connect", ok=False, unsupported=True, error=f"not supported: {what}")
        else:
            contract.line(event="unsupported", what=what)
        sys.exit(contract.UNSUPPORTED)
    trio.run(dial if options.dialing else listen, options)


if __name__ == "__main__":
    main()
