//! The command line.

use std::fmt;
use std::time::Duration;

/// Identity key types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Ed25519.
    Ed25519,
    /// secp256k1 with ECDSA.
    Secp256k1,
    /// NIST P-256 with ECDSA.
    Ecdsa,
    /// RSA with 2048 bits.
    Rsa,
}

/// A wrong command line.
#[derive(Debug)]
pub struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\nusage: PEER listen [options] | PEER dial ADDR --do ACTION [--do ACTION ...] [options]",
            self.0
        )
    }
}

/// Services that a listener mounts only if it is asked to.
const ON_REQUEST: [&str; 5] = ["dcutr", "autonat", "autonat2", "rendezvous", "mdns"];
/// Actions for which a dialer has to listen, too.
const NEEDS_LISTENER: [&str; 6] = [
    "kad-",
    "rendezvous-register",
    "autonat",
    "autonat2",
    "dcutr",
    "relay-reserve",
];
/// Where it then listens, and any listener that is not told.
const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";

/// Options of both sub-commands.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether it is a dialer.
    pub dialing: bool,
    /// What a dialer will be asked to do.
    actions: Vec<String>,
    /// Where a listener reserves a slot.
    pub relay: Option<String>,
    /// Topics that a listener joins.
    pub topics: Vec<String>,
    /// Protocol id of Kademlia.
    pub kad: String,
    /// The one protocol of publishing to keep to.
    pub pubsub: Option<String>,
    /// Peers that a listener connects to, and begins with in Kademlia.
    pub peers: Vec<String>,
    /// Whether a dialer's address leads through a relay.
    pub circuit: bool,
    /// Addresses to listen on; empty for a dialer that needs no listener.
    pub listen: Vec<String>,
    /// Loopback addresses of the transports asked for.
    transports: Vec<String>,
    /// Identity key type.
    pub key: Key,
    /// Secret seed of a deterministic Ed25519 identity.
    pub seed: Option<[u8; 32]>,
    /// Services asked for, or none for the default.
    pub services: Option<Vec<String>>,
    /// Overall limit.
    pub timeout: Duration,
    /// Whether a dialer will be asked to ping, so that an implementation that pings by itself may do so faster.
    pub will_ping: bool,
    /// Option values that no peer in Rust supports, as text.
    pub unsupported: Vec<String>,
}

impl Options {
    /// Whether a listener shall mount a service.
    pub fn wants(&self, service: &str) -> bool {
        match &self.services {
            Some(list) => list.iter().any(|name| name == service),
            None => !ON_REQUEST.contains(&service),
        }
    }

    /// Whether a dialer will be asked for an action of this name; of any name that begins so, if it ends with a dash.
    pub fn does(&self, name: &str) -> bool {
        self.actions.iter().any(|action| {
            action.split(':').next() == Some(name) || name.ends_with('-') && action.starts_with(name)
        })
    }

    /// Whether a listener shall mount a service, or a dialer needs it for an action.
    pub fn uses(&self, service: &str, action: &str) -> bool {
        if self.dialing {
            self.does(action)
        } else {
            self.wants(service)
        }
    }

    /// An Ed25519 secret: the one asked for with `--seed`, if any.
    pub fn seed(number: u32) -> [u8; 32] {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        seed
    }
}

/// A whole command line.
#[derive(Debug)]
pub(crate) enum Command {
    Listen(Options),
    Dial(String, Vec<String>, Options),
}

impl Command {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self, Usage> {
        let mut args = args;
        let verb = args.next().ok_or_else(|| Usage("no sub-command".into()))?;
        let dialing = match verb.as_str() {
            "listen" => false,
            "dial" => true,
            other => return Err(Usage(format!("unknown sub-command {other}"))),
        };
        let mut options = Options {
            dialing,
            actions: Vec::new(),
            relay: None,
            topics: Vec::new(),
            kad: "/interop/kad/1.0.0".into(),
            pubsub: None,
            peers: Vec::new(),
            circuit: false,
            listen: Vec::new(),
            transports: Vec::new(),
            key: Key::Ed25519,
            seed: None,
            services: None,
            timeout: Duration::from_secs(if dialing { 30 } else { 300 }),
            will_ping: false,
            unsupported: Vec::new(),
        };
        let (mut addr, mut actions) = (None, Vec::new());
        while let Some(arg) = args.next() {
            if arg == "--json" {
                continue;
            }
            if !arg.starts_with("--") {
                if !dialing || addr.replace(arg).is_some() {
                    return Err(Usage("too many arguments".into()));
                }
                continue;
            }
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (arg, args.next()),
            };
            let value = value.ok_or_else(|| Usage(format!("{name} needs a value")))?;
            if name == "--do" && dialing {
                actions.push(value);
            } else {
                options.set(&name, value, dialing)?;
            }
        }
        if options.topics.is_empty() {
            options.topics.push("interop".into());
        }
        if !dialing {
            if options.listen.is_empty() {
                options.listen = options.transports.clone();
            }
            if options.listen.is_empty() {
                options.listen.push(LOOPBACK.into());
            }
            return Ok(Self::Listen(options));
        }
        options.listen.clear();
        options.actions.clone_from(&actions);
        options.circuit = addr
            .as_ref()
            .is_some_and(|addr: &String| addr.contains("/p2p-circuit"));
        if NEEDS_LISTENER.iter().any(|action| options.does(action)) {
            options.listen.push(LOOPBACK.into());
        }
        options.will_ping = actions
            .iter()
            .any(|action| action == "ping" || action.starts_with("ping:"));
        match (addr, actions.is_empty()) {
            (Some(addr), false) => Ok(Self::Dial(addr, actions, options)),
            (None, _) => Err(Usage("no address".into())),
            (_, true) => Err(Usage("no action".into())),
        }
    }
}

impl Options {
    fn set(&mut self, name: &str, value: String, dialing: bool) -> Result<(), Usage> {
        match name {
            "--transport" => {
                // What an implementation lacks it finds among the addresses.
                self.transports.push(match value.as_str() {
                    "tcp" => "/ip4/127.0.0.1/tcp/0".into(),
                    "ws" => "/ip4/127.0.0.1/tcp/0/ws".into(),
                    "quic" if dialing => return Ok(()),
                    "quic" => {
                        self.unsupported.push("transport quic".into());
                        return Ok(());
                    }
                    _ => return Err(Usage(format!("unknown transport {value}"))),
                });
            }
            "--listen" => self.listen.push(value),
            "--security" => match value.as_str() {
                "noise" => {}
                "tls" | "plaintext" => self.unsupported.push(format!("security {value}")),
                _ => return Err(Usage(format!("unknown security protocol {value}"))),
            },
            "--muxer" => match value.as_str() {
                "yamux" => {}
                "mplex" => self.unsupported.push(format!("muxer {value}")),
                _ => return Err(Usage(format!("unknown muxer {value}"))),
            },
            "--key" => {
                self.key = match value.as_str() {
                    "ed25519" => Key::Ed25519,
                    "secp256k1" => Key::Secp256k1,
                    "ecdsa" => Key::Ecdsa,
                    "rsa" => Key::Rsa,
                    _ => return Err(Usage(format!("unknown key type {value}"))),
                }
            }
            "--seed" => {
                let number = value
                    .parse()
                    .map_err(|_| Usage(format!("{value} is no 32-bit number")))?;
                self.seed = Some(Self::seed(number));
            }
            "--services" => {
                self.services = Some(
                    value
                        .split(',')
                        .filter(|name| !name.is_empty())
                        .map(str::to_owned)
                        .collect(),
                );
            }
            "--relay" => self.relay = Some(value),
            "--topic" => self.topics.push(value),
            "--kad-protocol" if value.starts_with('/') => self.kad = value,
            "--kad-protocol" => return Err(Usage(format!("{value} is no protocol id"))),
            "--pubsub" => self.pubsub = Some(value),
            "--peer" => self.peers.push(value),
            "--timeout" => {
                let seconds: f64 = value
                    .parse()
                    .map_err(|_| Usage(format!("{value} is no number of seconds")))?;
                self.timeout = Duration::try_from_secs_f64(seconds)
                    .map_err(|_| Usage(format!("{value} is no time-out")))?;
            }
            _ => return Err(Usage(format!("unknown option {name}"))),
        }
        Ok(())
    }
}
