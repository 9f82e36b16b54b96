//! The words of the command line.

use clap::{Args as ClapArgs, Parser, Subcommand};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_identity::KeyType;
use std::{net::SocketAddr, path::PathBuf};

/// A libp2p node for the command line.
#[derive(Debug, Parser)]
#[command(name = "p2p", version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Listen and serve until SIGTERM, SIGINT or the time limit.
    Listen(Listen),
    /// Connect to a peer and act, in order.
    Dial(Dial),
    /// Show what the node can do: two processes on loopback, one table.
    Demo(Demo),
    /// Make a new identity.
    Keygen(Keygen),
    /// Tell the peer id of a key file.
    Id(Id),
    /// Take an address, a peer id or a signed envelope apart.
    Decode(Decode),
}

/// What both ends have.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Common {
    /// Transport to listen on: tcp (repeatable)
    #[arg(long = "transport", value_name = "T")]
    pub(crate) transports: Vec<String>,
    /// Security protocol to offer: noise (repeatable)
    #[arg(long = "security", value_name = "S")]
    pub(crate) security: Vec<String>,
    /// Multiplexer to offer: yamux (repeatable)
    #[arg(long = "muxer", value_name = "M")]
    pub(crate) muxers: Vec<String>,
    /// Type of a new identity: ed25519, secp256k1, ecdsa or rsa
    #[arg(long, value_name = "K", default_value = "ed25519", value_parser = key_type)]
    pub(crate) key: KeyType,
    /// The Ed25519 identity of this number, for tests
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u32>,
    /// Time limit in seconds (default: dial 30, listen 300)
    #[arg(long, value_name = "SECS")]
    pub(crate) timeout: Option<u64>,
    /// Configuration file in TOML: listen, bootstrap, identity, limits
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON lines, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
    /// Gossip topic (not supported yet)
    #[arg(long = "topic", value_name = "T")]
    pub(crate) topics: Vec<String>,
    /// Kademlia protocol id (not supported yet)
    #[arg(long, value_name = "P")]
    pub(crate) kad_protocol: Option<String>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Listen {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Address to listen on (repeatable; default: loopback, any port)
    #[arg(long = "listen", value_name = "MULTIADDR")]
    pub(crate) addrs: Vec<Multiaddr>,
    /// Services to mount: identify,push,ping,perf,echo,reqresp,fetch
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) services: Option<Vec<String>>,
    /// Relay to reserve a slot at (not supported yet)
    #[arg(long, value_name = "ADDR")]
    pub(crate) relay: Option<String>,
    /// Serve metrics in the `OpenMetrics` format at this address
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Dial {
    /// The peer's address, ending in /p2p/ID
    pub(crate) addr: Multiaddr,
    /// What to do once connected (repeatable): ping:N, identify, push:PROTO, perf:UP:DOWN, echo:TEXT, reqresp:TEXT, fetch:KEY, wait:SECS, alive
    #[arg(long = "do", value_name = "ACTION")]
    pub(crate) actions: Vec<String>,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Ignored: a dialer goes by its address
    #[arg(long = "listen", value_name = "MULTIADDR", hide = true)]
    pub(crate) listen: Vec<Multiaddr>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Mebibytes to move each way
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(crate) mib: u64,
    /// Be the listening process of the demo
    #[arg(long, hide = true)]
    pub(crate) serve: bool,
    /// Print JSON lines, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Keygen {
    /// Type of the key: ed25519, secp256k1, ecdsa or rsa
    #[arg(long, value_name = "K", default_value = "ed25519", value_parser = key_type)]
    pub(crate) key: KeyType,
    /// Where to write it, readable by its owner only; standard output gets base 64 otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write base 64, as in kubo's configuration, and not the bare protobuf
    #[arg(long)]
    pub(crate) base64: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Id {
    /// A key file of go, js, rust or this program: protobuf, bare or in base 64
    pub(crate) file: PathBuf,
    /// Also print the private key in base 64
    #[arg(long)]
    pub(crate) export: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Decode {
    /// A multiaddr, a peer id, or a signed envelope in hexadecimal
    pub(crate) text: String,
}

pub(crate) fn key_type(text: &str) -> Result<KeyType, String> {
    match text {
        "ed25519" => Ok(KeyType::Ed25519),
        "secp256k1" => Ok(KeyType::Secp256k1),
        "ecdsa" => Ok(KeyType::Ecdsa),
        "rsa" => Ok(KeyType::Rsa),
        _ => Err("not one of ed25519, secp256k1, ecdsa, rsa".into()),
    }
}

/// The first thing that was asked for explicitly and is not there.
pub(crate) fn unsupported(common: &Common) -> Option<String> {
    let pick = |kind: &str, given: &[String], known: &[&str]| {
        given
            .iter()
            .find(|name| !known.contains(&name.as_str()))
            .map(|name| format!("{kind} {name}"))
    };
    pick("transport", &common.transports, &["tcp"])
        .or_else(|| pick("security", &common.security, &["noise"]))
        .or_else(|| pick("muxer", &common.muxers, &["yamux"]))
}
