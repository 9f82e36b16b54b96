"""The command line that every interoperability peer obeys: options, lines of JSON, exit codes."""

import json
import re
import sys
from dataclasses import dataclass, field

OK, FAILED, UNSUPPORTED, USAGE = 0, 1, 2, 64

LOOPBACK = {"tcp": "/ip4/127.0.0.1/tcp/0", "ws": "/ip4/127.0.0.1/tcp/0/ws", "quic": "/ip4/127.0.0.1/udp/0/quic-v1"}
KNOWN = {
    "transport": ["tcp", "ws", "quic"],
    "security": ["noise", "tls", "plaintext"],
    "muxer": ["yamux", "mplex"],
    "key": ["ed25519", "secp256k1", "ecdsa", "rsa"],
}
TCP = re.compile(r"/(ip4|ip6|dns|dns4|dns6)/[^/]+/tcp/\d+(/ws)?(/p2p/[^/]+)?")


# Services that a listener mounts only if it is asked to.
ON_REQUEST = ["dcutr", "autonat", "autonat2", "rendezvous", "mdns"]
# Beginnings of the actions for which a dialer has to listen, too.
NEEDS_LISTENER = ("kad-",)


class Unsupported(Exception):
    """What this implementation does not have."""


class UsageError(Exception):
    """A wrong command line."""


@dataclass
class Options:
    dialing: bool
    addr: str | None = None
    actions: list[str] = field(default_factory=list)
    transports: list[str] = field(default_factory=list)
    listen: list[str] = field(default_factory=list)
    security: list[str] = field(default_factory=list)
    muxers: list[str] = field(default_factory=list)
    key: str = "ed25519"
    seed: bytes | None = None
    services: list[str] | None = None
    topics: list[str] = field(default_factory=list)
    kad: str = "/interop/kad/1.0.0"
    # The one protocol of publishing to keep to.
    pubsub: str | None = None
    # Whom a listener connects to, and begins with in Kademlia.
    peers: list[str] = field(default_factory=list)
    timeout: float = 300
    # What was asked for and no implementation in Python has.
    bad: list[str] = field(default_factory=list)

    def does(self, beginning):
        """Whether a dialer will be asked for an action that begins so."""
        return any(action.startswith(beginning) for action in self.actions)

    def wants(self, service):
        """Whether a listener shall mount a service."""
        return service in self.services if self.services is not None else service not in ON_REQUEST


def line(**fields):
    """Prints one line of JSON; `do_` stands for the field `do`."""
    fields = {name.rstrip("_"): value for name, value in fields.items()}
    print(json.dumps(fields, ensure_ascii=False), flush=True)


def describe(error):
    """The text of an error and of everything that caused it."""
    texts = []
    while error is not None and len(texts) < 10:
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
            continue
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if text not in texts:
            texts.append(text)
        error = error.__cause__ or error.__context__
    return ": ".join(texts)


def number(text):
    if not re.fullmatch(r"\d{1,18}", text):
        raise ValueError(f"{text!r} is no number")
    return int(text)


def parse(args):
    """The options, or `UsageError`."""
    args = list(args)
    verb = args.pop(0) if args else ""
    if verb not in ("listen", "dial"):
        raise UsageError(f"unknown sub-command {verb!r}")
    options = Options(dialing=verb == "dial")
    if options.dialing:
        options.timeout = 30
    while args:
        name = args.pop(0)
        if name == "--json":
            continue
        if not name.startswith("--"):
            if not options.dialing or options.addr is not None:
                raise UsageError("too many arguments")
            options.addr = name
            continue
        name, equals, value = name.partition("=")
        if not equals:
            if not args:
                raise UsageError(f"{name} needs a value")
            value = args.pop(0)
        set_option(options, name, value)
    if options.dialing and (options.addr is None or not options.actions):
        raise UsageError("no address" if options.addr is None else "no action")
    if options.dialing:
        options.listen = [LOOPBACK["tcp"]] if options.does(NEEDS_LISTENER) else []
    elif not options.listen:
        options.listen = [LOOPBACK[name] for name in options.transports or ["tcp"]]
    return options


def set_option(options, name, value):
    what = name.removeprefix("--")
    if what in KNOWN and value not in KNOWN[what]:
        raise UsageError(f"unknown {what} {value!r}")
    match what:
        case "do":
            options.actions.append(value)
        case "transport":
            options.transports.append(value)
        case "listen":
            options.listen.append(value)
        case "security":
            options.security.append(value)
        case "muxer":
            options.muxers.append(value)
        case "key":
            options.key = value
        case "seed":
            if number(value) > 0xFFFFFFFF:
                raise UsageError(f"{value} is no 32-bit number")
            options.seed = number(value).to_bytes(4, "little") + bytes(28)
        case "services":
            options.services = [service for service in value.split(",") if service]
        case "relay":
            options.bad.append("relay client")
        case "topic":
            options.topics.append(value)
        case "kad-protocol":
            options.kad = value
        case "pubsub":
            options.pubsub = value
        case "peer":
            options.peers.append(value)
        case "timeout":
            options.timeout = float(value)
        case _:
            raise UsageError(f"unknown option {name}")


def lacks(options, services, keys, pubsub):
    """The first thing asked for that an implementation does not have."""
    bad = list(options.bad)
    bad += [f"address {addr}" for addr in options.listen + [options.addr or ""] if addr and not TCP.fullmatch(addr)]
    bad += [f"key {options.key}"] if options.key not in keys else []
    bad += [f"pubsub {options.pubsub}"] if options.pubsub not in [None, *pubsub] else []
    # A program that can't report pushes accepts the name all the same.
    bad += [f"service {name}" for name in options.services or [] if name != "push" and name not in services]
    return bad[0] if bad else None


def read_options():
    try:
        return parse(sys.argv[1:])
    except (UsageError, ValueError) as error:
        print(error, file=sys.stderr)
        print("usage: PEER listen [options] | PEER dial ADDR --do ACTION [--do ACTION ...] [options]", file=sys.stderr)
        sys.exit(USAGE)
