//! The command line that every interoperability peer obeys, for the peers written in Rust.
//!
//! An implementation of libp2p is put behind [`Node`]; [`main`] does the rest: it reads the command
//! line, prints the JSON lines, runs the actions in order and chooses the exit code. The four small
//! stream protocols that most implementations do not bring along ([`services`]) are written here
//! once, over any byte stream.

mod dial;
pub mod gossip;
mod kad;
mod listen;
mod options;
pub mod services;

pub use dial::dial;
pub use kad::{Found, Query};
pub use listen::listen;
pub use options::{Key, Options, Usage};

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use futures::io::{AsyncRead, AsyncWrite};
use serde_json::Value;

/// Every action succeeded.
pub const OK: u8 = 0;
/// The connection or at least one action failed.
pub const FAILED: u8 = 1;
/// Something that was asked for is not supported by this program.
pub const UNSUPPORTED: u8 = 2;
/// The command line was wrong.
pub const USAGE: u8 = 64;

/// What a connection turned out to be.
#[derive(Debug, Clone)]
pub struct Connected {
    /// The peer at the other end, as text.
    pub peer: String,
    /// Negotiated security protocol, where the implementation tells.
    pub security: Option<&'static str>,
    /// Negotiated muxer, where the implementation tells.
    pub muxer: Option<&'static str>,
    /// Whether it leads through a relay.
    pub relayed: bool,
}

/// A slot at a relay.
#[derive(Debug, Clone)]
pub struct Reservation {
    /// The address that leads through it, complete.
    pub addr: String,
    /// How long a connection through it may last, where the relay tells.
    pub limit: Option<Duration>,
    /// How many bytes may flow through one, where the relay tells.
    pub bytes: Option<u64>,
}

/// What the identify protocol told about a peer.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The peer id that follows from the key in the message.
    pub peer: String,
    /// Field `agentVersion`.
    pub agent_version: String,
    /// Field `protocolVersion`.
    pub protocol_version: String,
    /// Field `protocols`, sorted.
    pub protocols: Vec<String>,
    /// Field `listenAddrs`.
    pub listen_addrs: Vec<String>,
    /// Field `observedAddr`.
    pub observed_addr: Option<String>,
}

/// Why something did not work.
#[derive(Debug, Clone)]
pub enum Failure {
    /// It was tried and failed; the implementation's own words.
    Failed(String),
    /// This implementation has no such thing.
    Unsupported(String),
}

impl Failure {
    /// A failure with the text of an error and of everything that caused it.
    pub fn of(error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let inner_text = inner.to_string();
            if !text.contains(&inner_text) {
                text.push_str(": ");
                text.push_str(&inner_text);
            }
            cause = inner.source();
        }
        Self::Failed(text)
    }
}

impl Failure {
    /// This implementation has no such thing.
    fn lacks<N: Node>(what: &str) -> Self {
        Self::Unsupported(format!("{} has no {what}", N::IMPL))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::of(&error)
    }
}

/// Result of an action.
pub type Outcome<T> = Result<T, Failure>;

/// One implementation of libp2p behind the command line.
#[allow(
    async_fn_in_trait,
    reason = "used with static dispatch on one multi-threaded runtime only"
)]
pub trait Node: Sized {
    /// Name of the implementation, as in the `impl` field.
    const IMPL: &'static str;
    /// Version of the implementation.
    const VERSION: &'static str;
    /// Services that a listener can mount.
    const SERVICES: &'static [&'static str];
    /// Protocols of publishing that it can be told to keep to.
    const PUBSUB: &'static [&'static str] = &[];
    /// Whether it speaks WebSocket besides TCP.
    const WEBSOCKET: bool;
    /// Identity key types.
    const KEYS: &'static [Key];
    /// A negotiated stream.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Makes a node. A listener is bound to all its addresses when this returns; a dialer listens nowhere.
    async fn start(options: &Options) -> Outcome<Self>;
    /// The node's own peer id.
    fn peer_id(&self) -> String;
    /// Addresses the node listens on, complete with its peer id.
    fn listen_addrs(&self) -> Vec<String>;
    /// Connects to an address that ends in a peer id.
    async fn connect(&mut self, addr: &str) -> Outcome<Connected>;
    /// Opens a stream to the connected peer.
    async fn open(&mut self, protocol: &'static str) -> Outcome<Self::Stream>;
    /// Round-trip times of `count` pings.
    async fn ping(&mut self, count: usize) -> Outcome<Vec<Duration>>;
    /// What the connected peer's identify message said.
    async fn identify(&mut self) -> Outcome<Identity>;
    /// Starts to handle a protocol and pushes the change to the connected peer.
    async fn push(&mut self, protocol: &str) -> Outcome<()>;
    /// Whether the connection is still open.
    async fn alive(&mut self) -> Outcome<()>;
    /// Asks Kademlia, beginning with the connected peer.
    async fn kad(&mut self, _: &Query) -> Outcome<Found> {
        Err(Failure::lacks::<Self>("Kademlia"))
    }
    /// Joins a topic, and waits until the connected peer is known to have joined it.
    async fn join(&mut self, _topic: &str) -> Outcome<()> {
        Err(Failure::lacks::<Self>("gossip"))
    }
    /// Publishes a message to a topic that was joined.
    async fn publish(&mut self, _topic: &str, _data: Vec<u8>) -> Outcome<()> {
        Err(Failure::lacks::<Self>("gossip"))
    }
    /// The next message of any topic that was joined.
    async fn message(&mut self) -> Outcome<Vec<u8>> {
        Err(Failure::lacks::<Self>("gossip"))
    }
    /// Reserves a slot at the connected peer.
    async fn reserve(&mut self) -> Outcome<Reservation> {
        Err(Failure::lacks::<Self>("relay client"))
    }
    /// Waits for a connection to the connected peer that leads through no relay.
    async fn direct(&mut self) -> Outcome<()> {
        Err(Failure::lacks::<Self>("DCUtR"))
    }
    /// Asks the connected peer whether it reaches us, by version 1 or 2 of AutoNAT: `public`, `private` or `unknown`.
    async fn reachability(&mut self, _version: u8) -> Outcome<&'static str> {
        Err(Failure::lacks::<Self>("AutoNAT"))
    }
    /// Registers at the connected peer in a namespace; for how many seconds.
    async fn register(&mut self, _namespace: &str) -> Outcome<u64> {
        Err(Failure::lacks::<Self>("rendezvous"))
    }
    /// The peers that the connected one knows in a namespace.
    async fn discover(&mut self, _namespace: &str) -> Outcome<Vec<String>> {
        Err(Failure::lacks::<Self>("rendezvous"))
    }
    /// Closes the connection in the implementation's own way, if it is still open.
    async fn close(&mut self);
    /// The next event line of a listener; pending for ever when there are none left.
    async fn event(&mut self) -> Value;
}

/// Runs the command line for one implementation.
pub fn main<N: Node>() -> ExitCode {
    init_log();
    let code = match options::Command::parse(std::env::args().skip(1)) {
        Err(usage) => {
            eprintln!("{usage}");
            USAGE
        }
        Ok(command) => match tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
        {
            Err(error) => {
                eprintln!("cannot start the runtime: {error}");
                FAILED
            }
            Ok(runtime) => {
                let code = runtime.block_on(async {
                    match command {
                        options::Command::Listen(options) => listen::<N>(&options).await,
                        options::Command::Dial(addr, actions, options) => {
                            dial::<N>(&addr, &actions, &options).await
                        }
                    }
                });
                runtime.shutdown_timeout(Duration::from_millis(200));
                code
            }
        },
    };
    ExitCode::from(code)
}

/// Prints one line of JSON and flushes it.
pub fn line(value: &Value) {
    let mut out = std::io::stdout().lock();
    let written = writeln!(out, "{value}").and_then(|()| out.flush());
    if let Err(error) = written {
        eprintln!("cannot write to standard output: {error}");
    }
}

/// Logs to standard error what `RUST_LOG` asks for, such as `debug` or `libp2p_noise=trace`.
fn init_log() {
    use tracing_subscriber::prelude::*;
    let Ok(wanted) = std::env::var("RUST_LOG") else {
        return;
    };
    let Ok(targets) = wanted.parse::<tracing_subscriber::filter::Targets>() else {
        return;
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_filter(targets);
    tracing_subscriber::registry().with(layer).init();
}
