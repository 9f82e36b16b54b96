//! The command line that every interoperability peer obeys, for the peers written in Rust.
//!
//! An implementation of libp2p is put behind [`Node`]; [`main`] does the rest: it reads the command
//! line, prints the JSON lines, runs the actions in order and chooses the exit code. The four small
//! stream protocols that most implementations do not bring along ([`services`]) are written here
//! once, over any byte stream.

mod dial;
mod listen;
mod options;
pub mod services;

pub use dial::dial;
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
