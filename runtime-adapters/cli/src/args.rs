//! The words of the command line.

use crate::{action::Action, node::Runtime};
use clap::{Args as ClapArgs, Parser, Subcommand};
use libp2p_proto_core::Multiaddr;
use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

/// A libp2p node for the command line.
///
/// On a terminal it speaks to people. Elsewhere, or with --json, standard output carries one JSON object a line and nothing else.
#[derive(Debug, Parser)]
#[command(name = "p2p", bin_name = "p2p", version, about, long_about, after_help = EXIT_STATUS, arg_required_else_help = false)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0   all went well
  1   the connection or an action failed, or time ran out
  2   something asked for is not supported; nothing else failed
  64  wrong usage";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Listen and serve until SIGTERM, SIGINT or the time limit
    #[command(after_help = "\
Examples:
  p2p listen                                       on loopback, any port, all services
  p2p listen --listen /ip4/0.0.0.0/tcp/4001 --timeout 86400
  p2p listen --config node.toml --metrics 127.0.0.1:9090")]
    Listen(Listen),
    /// Connect to a peer and act, in order
    #[command(after_help = DIAL_HELP)]
    Dial(Dial),
    /// Repeat a recording of `--record`, without a network, and compare what comes out
    Replay(Replay),
    /// Show what the node can do: two processes on loopback, one table
    Demo(Demo),
    /// Make an identity and write its key file
    #[command(after_help = FORMATS)]
    Keygen(Keygen),
    /// Read a key file of go, rust, js or kubo: tell its peer id, or write it in another format
    #[command(after_help = FORMATS)]
    Id(Id),
    /// Take an address, a peer id or a signed envelope apart
    Decode(Decode),
    /// Simulate a network of nodes in virtual time; equal seeds give equal traces
    #[command(after_help = SIM_HELP)]
    Sim(Sim),
    /// Look into Kademlia
    Kad(Kad),
    /// Find out what stands between this node and others: whether they reach it, what a NAT makes of its ports, who could be its relay
    #[command(after_help = NAT_HELP)]
    Nat(Nat),
    /// Print a configuration file with every key, its default, unit and range
    Config,
}

const DIAL_HELP: &str = "\
Actions, each reported in a line of its own:
  ping[:N]        N round trips on one stream (default 3)
  identify        what the peer says of itself
  push:PROTO      begin to handle PROTO and push the change
  perf:UP:DOWN    send UP bytes, receive DOWN bytes
  echo:TEXT       send TEXT, expect it back
  reqresp:TEXT    send TEXT, expect re:TEXT
  fetch:KEY       the value of interop/KEY; for the key `missing`, that there is none
  gossip:TOPIC[:N[:SIZE]]
                  publish N (1) messages of SIZE bytes, and hear that each arrived
  kad-put:K:V     store V under /interop/K at the nearest peers
  kad-get:K       the value of /interop/K
  kad-provide:T   say that we provide the multihash sha2-256 of T
  kad-find-providers:T, kad-find-peer:ID, kad-closest:T
                  who provides it, where a peer is, who is nearest
  relay-reserve   a slot at the peer, so that others reach us through it
  autonat, autonat2
                  whether the peer reaches us, as a whole or at one address
  dcutr           a direct connection beside the relayed one, by a hole punch if need be
  rendezvous-register:NS, rendezvous-discover:NS
                  be found under a name; who is registered there
  ipns-publish:PATH, ipns-resolve:NAME
                  let our name point to PATH; where the name of a peer points
  wait:SECS       keep the connection open
  alive           whether the connection is still open

Example:
  p2p dial /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW… --do ping:5 --do identify";

const TRACE_HELP: &str = "\
Every step is a line: `asked` with the peer, who named it, how many answers led to it, and how many bits its place shares with the key; `answered` with how many it named;
`failed`. The last line sums up. The picture has time from left to right and distance to the key from top to bottom.

Example:
  p2p kad trace hello --via /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW… --svg trace.svg";

const NAT_HELP: &str = "\
Each peer is asked where it sees this node, and whether it reaches it: with AutoNAT version 1 and version 2, if it serves them. A failure of version 1 takes 15 s.
To tell the kind of a NAT, name two peers with different IP addresses. To a peer behind a relay a hole is punched, if it speaks dcutr; why that fails is told.

Example:
  p2p nat /ip4/203.0.113.5/tcp/4001/p2p/12D3KooW… /ip4/198.51.100.7/tcp/4001/p2p/12D3KooW…
  p2p nat RELAY OTHER RELAY/p2p-circuit/p2p/12D3KooW…";

const SIM_HELP: &str = "\
A scenario is a TOML file: hosts, links, NATs, clocks, faults and a goal. Ready ones are in runtime-adapters/simulator/scenarios.
If anything is wrong, the seed and the fewest faults that still make it happen are printed, and the exit status is 1.

Example:
  p2p sim partition.toml --seed 7 --out plots";

const FORMATS: &str = "\
Formats of key files:
  protobuf  the bare protobuf of the private key: go, rust and js
  base64    the same in base 64, as in kubo's configuration (Identity.PrivKey) and js
  kubo      a JSON object {\"Identity\": {\"PeerID\", \"PrivKey\"}}, as in kubo's configuration
  js        a JSON object {\"id\", \"privKey\", \"pubKey\"}, as js-libp2p keeps it";

/// What both ends have.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Common {
    /// Transport to listen on: tcp, ws (repeatable; dial goes by its address) [default: tcp]
    #[arg(long = "transport", value_name = "T")]
    pub(crate) transports: Vec<String>,
    /// Security protocol to offer: noise (repeatable, best first) [default: noise]
    #[arg(long = "security", value_name = "S")]
    pub(crate) security: Vec<String>,
    /// Multiplexer to offer: yamux (repeatable, best first) [default: yamux]
    #[arg(long = "muxer", value_name = "M")]
    pub(crate) muxers: Vec<String>,
    /// Type of a new identity: ed25519, secp256k1, ecdsa or rsa (2048 bits) [default: ed25519]
    #[arg(long, value_name = "K")]
    pub(crate) key: Option<String>,
    /// Use the Ed25519 identity of this number, 0 to 4294967295; anyone can make it, so it is for tests only [default: a random identity]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u32>,
    /// Overall limit in seconds, more than 0 [default: dial 30, listen 300]
    #[arg(long, value_name = "SECS", value_parser = limit)]
    pub(crate) timeout: Option<Duration>,
    /// Configuration file in TOML; `p2p config` prints one with every key. Options win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What the node runs on
    #[arg(long, value_name = "R", value_enum, default_value_t)]
    pub(crate) runtime: Runtime,
    /// Print JSON lines, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
    /// Gossip topic to join (repeatable) [default: interop]
    #[arg(long = "topic", value_name = "T")]
    pub(crate) topics: Vec<String>,
    /// Kademlia protocol id [default: /interop/kad/1.0.0]
    #[arg(long, value_name = "P")]
    pub(crate) kad_protocol: Option<String>,
    /// New file to record to what goes into the node, for `p2p replay`: no keys, but all data of the peers; 256 MiB at most
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Listen {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Address to listen on, such as /ip4/0.0.0.0/tcp/4001 (repeatable; port 0: any free one; 0.0.0.0 and :: stand for every interface)
    /// [default: /ip4/127.0.0.1/tcp/0]
    #[arg(long = "listen", value_name = "MULTIADDR")]
    pub(crate) addrs: Vec<Multiaddr>,
    /// Comma list of services to mount: identify, push, ping, perf, echo, reqresp, fetch, gossip, kad, relay, dcutr, rendezvous, autonat, autonat2, mdns [default: all but the last five]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) services: Option<Vec<String>>,
    /// Peer to stay connected to, beside those of the configuration (repeatable)
    #[arg(long = "peer", value_name = "ADDR")]
    pub(crate) peers: Vec<Multiaddr>,
    /// Relay to reserve a slot at, so that others reach us through it: its address, ending in /p2p/ID
    #[arg(long, value_name = "ADDR")]
    pub(crate) relay: Option<Multiaddr>,
    /// Interface to use for mdns, by its name (repeatable) [default: all]
    #[arg(long = "mdns-interface", value_name = "NAME")]
    pub(crate) mdns_interfaces: Vec<String>,
    /// Serve metrics at http://IP:PORT/metrics, in the OpenMetrics text format [default: none]
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) metrics: Option<SocketAddr>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Dial {
    /// The peer's address, ending in /p2p/ID: `p2p listen` prints it
    pub(crate) addr: Multiaddr,
    /// What to do once connected (repeatable, in order); see below
    #[arg(long = "do", value_name = "ACTION", required = true)]
    pub(crate) actions: Vec<Action>,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Where to listen for `dcutr`, where the default of loopback is not enough; ignored otherwise: a dialer goes by its address
    #[arg(long = "listen", value_name = "MULTIADDR", hide = true)]
    pub(crate) listen: Vec<Multiaddr>,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Nat {
    /// Peers to ask: addresses that end in /p2p/ID
    #[arg(value_name = "ADDR", required = true)]
    pub(crate) peers: Vec<Multiaddr>,
    /// Address to listen on (repeatable) [default: /ip4/0.0.0.0/tcp/0]
    #[arg(long = "listen", value_name = "MULTIADDR")]
    pub(crate) addrs: Vec<Multiaddr>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Kad {
    #[command(subcommand)]
    pub(crate) command: KadCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KadCommand {
    /// Look for the nearest peers of a key, and tell and draw the way to them
    #[command(after_help = TRACE_HELP)]
    Trace(Trace),
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Trace {
    /// A peer id, or any text: its multihash sha2-256 is the key
    #[arg(value_name = "KEY")]
    pub(crate) target: String,
    /// Where to begin: an address that ends in /p2p/ID
    #[arg(long, value_name = "ADDR")]
    pub(crate) via: Multiaddr,
    /// New file for a picture of the lookup, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Replay {
    /// The recording
    pub(crate) file: PathBuf,
    /// Print JSON lines, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Mebibytes to move each way, 1 to 65536
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub(crate) mib: u32,
    /// Be the listening process of the demo
    #[arg(long, hide = true)]
    pub(crate) serve: bool,
    /// Print the table as JSON, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Keygen {
    /// Type of the key: ed25519, secp256k1, ecdsa or rsa (2048 bits)
    #[arg(long, value_name = "K", default_value = "ed25519")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) output: KeyOutput,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Id {
    /// A key file in any of the formats below; `-` reads standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) output: KeyOutput,
}

/// Where a private key goes.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct KeyOutput {
    /// New file for the private key, readable by its owner only; an existing file is never overwritten
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Format of the private key: protobuf, base64, kubo or js [default: protobuf]. Without --out the key goes to standard output
    #[arg(long, value_name = "F")]
    pub(crate) format: Option<crate::keys::Format>,
    /// Print JSON, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Decode {
    /// A multiaddr, a peer id (base 58 or CID), or a signed envelope in hexadecimal or base 64
    #[arg(value_name = "MULTIADDR|PEERID|ENVELOPE")]
    pub(crate) text: String,
    /// Print JSON, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Sim {
    /// The scenario file; or a params.json of the public gossipsub-interop scripts; or the word gossipsub-paper, for the attacks of GossipSub's evaluation
    pub(crate) file: PathBuf,
    /// What decides everything that is left to chance, 0 to 18446744073709551615
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Folder for plots as SVG (round trips, events per second, connections, memory) and for recordings of the first four hosts; made if it does not exist. gossipsub-paper: for its table, plots and the outcome of each run, written as each ends; runs whose outcome is there are not made again
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// gossipsub-paper: runs with so many seeds, each a row; 1 to 100
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(crate) seeds: u64,
    /// gossipsub-paper: honest nodes; a params.json: nodes. 2 to 10000
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(crate) nodes: u32,
    /// gossipsub-paper: messages per second of all publishers together, 0.1 to 1000; the paper's are 120, and take their time
    #[arg(long, value_name = "N", default_value_t = 4.0)]
    pub(crate) rate: f64,
    /// gossipsub-paper: only this attack, by its name in the table; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) attack: Vec<String>,
    /// gossipsub-paper: only this router: v1.0, v1.1 or ours; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) router: Vec<String>,
    /// Print every event and the trace hash as JSON lines, also on a terminal
    #[arg(long)]
    pub(crate) json: bool,
}

/// Seconds, whole or not.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| String::from("not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= MAX_SECONDS)
        .ok_or_else(|| format!("out of range: 0 to {} seconds", MAX_SECONDS.as_secs()))
}

/// A hundred years: whatever is longer is a slip of the pen.
const MAX_SECONDS: Duration = Duration::from_secs(100 * 365 * 86_400);

fn limit(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|duration| {
        if duration.is_zero() {
            Err(String::from("a limit of 0 seconds leaves no time for anything"))
        } else {
            Ok(duration)
        }
    })
}

/// Reads the command line. The error is for the user, in one line, or help that was asked for.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, Refusal> {
    Args::try_parse_from(words).map_err(|error| {
        use clap::error::ErrorKind;
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Refusal::Help(error.render().to_string()),
            _ => Refusal::Wrong(one_line(&error.render().to_string())),
        }
    })
}

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Help or the version was asked for.
    Help(String),
    /// The line is wrong.
    Wrong(String),
}

/// The cause and the tips of an error that clap spreads over a page.
fn one_line(page: &str) -> String {
    let mut line = String::new();
    for part in page.lines().map(str::trim).filter(|part| !part.is_empty()) {
        if part.starts_with("Usage:") || part.starts_with("For more information") {
            continue;
        }
        let part = part.strip_prefix("error: ").unwrap_or(part);
        if !line.is_empty() {
            line.push_str(if line.ends_with(':') { " " } else { "; " });
        }
        line.push_str(part);
    }
    let usage = page
        .lines()
        .find_map(|part| part.trim().strip_prefix("Usage: p2p "));
    let command = usage
        .and_then(|usage| usage.split_whitespace().next())
        .filter(|word| word.chars().all(char::is_alphanumeric));
    let help = command.map_or_else(
        || String::from("p2p help"),
        |command| format!("p2p help {command}"),
    );
    format!("{line} (see `{help}`)")
}

#[cfg(test)]
mod tests {
    use super::{Refusal, parse};
    use clap::CommandFactory as _;

    fn wrong(line: &str) -> String {
        match parse(line.split_whitespace().map(Into::into)) {
            Err(Refusal::Wrong(text)) => text,
            other => panic!("{line} is not refused: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        super::Args::command().debug_assert();
    }

    #[test]
    fn a_wrong_line_is_told_in_one_line_that_names_the_word_and_the_help() {
        for (line, word, help) in [
            ("p2p", "subcommand", "p2p help"),
            ("p2p lisen", "lisen", "p2p help"),
            ("p2p listen --lisen x", "--lisen", "p2p help listen"),
            ("p2p listen --listen 127.0.0.1:80", "127.0.0.1:80", "p2p help"),
            ("p2p listen --timeout 0", "0 seconds", "p2p help"),
            ("p2p listen --timeout 1e30", "out of range", "p2p help"),
            ("p2p listen --seed -1", "-1", "p2p help"),
            ("p2p listen --seed 4294967296", "4294967296", "p2p help"),
            ("p2p dial", "<MULTIADDR>", "p2p help dial"),
            ("p2p dial /ip4/127.0.0.1/tcp/1", "--do", "p2p help dial"),
            ("p2p dial /ip4/127.0.0.1/tcp/1 --do ping:0", "ping:0", "p2p help"),
        ] {
            let text = wrong(line);
            assert!(!text.contains('\n'), "{text}");
            assert!(
                text.contains(word) || (word == "<MULTIADDR>" && text.contains("<ADDR>")),
                "{line}: {text}"
            );
            assert!(text.contains(help), "{line}: {text}");
        }
    }
}
