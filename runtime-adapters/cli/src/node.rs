//! What listener and dialer have in common: who they are, and what they stand on.

mod mio_loop;

use crate::{args::Common, config::Config, error::Error, keys, support::key_type};
use libp2p_proto_autonat::{self as autonat, Autonat};
use libp2p_proto_core::{ProtocolName, UnixTime};
use libp2p_proto_dcutr::{self as dcutr, Dcutr};
use libp2p_proto_dns as dns;
use libp2p_proto_driver::{self as driver, App, Handle, Resolver};
use libp2p_proto_gossipsub::{self as gossipsub, Gossipsub};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_identity::{Identity, KeyType, Keypair};
use libp2p_proto_kad::{self as kad, Invalid, Kad, Mode, Validator, Validators};
use libp2p_proto_relay::{self as relay, Relay};
use libp2p_proto_rendezvous::{self as rendezvous, Rendezvous};
use libp2p_proto_request_response::{self as reqresp, RequestResponse};
use std::{fmt::Display, future::Future, sync::Arc, time::Duration};
use tokio::time::Instant;

/// `/echo/1.0.0`.
pub(crate) const ECHO: ProtocolName = ProtocolName::from_static("/echo/1.0.0");
/// `/interop/reqresp/1.0.0`.
pub(crate) const REQRESP: ProtocolName = ProtocolName::from_static("/interop/reqresp/1.0.0");
/// Bytes of a request, and of a response.
const MAX_MESSAGE: usize = 1 << 20;
/// Requests that one connection may have under way here.
const MAX_REQUESTS: u16 = 32;
/// How long changes are gathered before they are pushed: someone waits for it.
const PUSH_DELAY: Duration = Duration::from_millis(50);

/// The identity that the options and the configuration ask for.
pub(crate) fn identity(common: &Common, config: &Config) -> Result<Identity, Error> {
    let key = common.key.as_deref().map_or(Some(KeyType::Ed25519), key_type);
    let key = key.ok_or_else(|| Error::Usage(String::from("unknown key type")))?;
    if let Some(number) = common.seed {
        if key != KeyType::Ed25519 {
            return Err(Error::Usage(String::from(
                "--seed makes Ed25519 identities only: leave out --key",
            )));
        }
        return Ok(of_number(number));
    }
    match &config.identity {
        Some(path) => Ok(keys::load_or_make(path, key)?.into()),
        None => Ok(keys::generate(key)?.into()),
    }
}

/// The secret seed is the number in little-endian order, then zeros.
fn of_number(number: u32) -> Identity {
    let mut seed = [0; 32];
    if let Some(head) = seed.first_chunk_mut() {
        *head = number.to_le_bytes();
    }
    Keypair::ed25519_from_seed(seed).into()
}

/// Identify, as this program introduces itself.
pub(crate) fn introduce(identity: &Identity) -> Result<Identify, Error> {
    let config = identify::Config {
        agent_version: concat!("libp2p-proto/p2p/", env!("CARGO_PKG_VERSION")).into(),
        push_delay: PUSH_DELAY,
        ..identify::Config::default()
    };
    Identify::new(identity.clone(), config).map_err(broken)
}

/// The request-response protocol of the contract: everything up to the end of the stream is one message.
pub(crate) fn requests(serve: bool, timeout: Duration) -> Result<RequestResponse, Error> {
    let spec = reqresp::Spec::until_end(REQRESP, MAX_MESSAGE, MAX_MESSAGE);
    let config = reqresp::Config {
        max_inbound: if serve { MAX_REQUESTS } else { 0 },
        timeout,
        dial: false,
        ..reqresp::Config::default()
    };
    RequestResponse::new(vec![spec], config).map_err(broken)
}

/// Pubsub as the contract has it: strict signing, and ids of author and number.
pub(crate) fn pubsub(identity: &Identity) -> Result<Gossipsub, Error> {
    Gossipsub::new(identity.clone(), gossipsub::Config::default()).map_err(broken)
}

/// Circuit relay v2 at any address: as a relay, as a client of the relays that it is told of, or both.
pub(crate) fn relay(identity: &Identity, serve: bool, reserve: bool) -> Result<Relay, Error> {
    let server = || relay::ServerConfig {
        private_addrs: true,
        ..relay::ServerConfig::default()
    };
    let client = || relay::ClientConfig {
        automatic: false,
        private_addrs: true,
        ..relay::ClientConfig::default()
    };
    Relay::new(identity.clone(), serve.then(server), reserve.then(client)).map_err(broken)
}

/// AutoNAT at any address: a server of these versions, or a client that asks when it is told to.
pub(crate) fn autonat(serve: Option<[bool; 2]>) -> Result<Autonat, Error> {
    let client = || autonat::ClientConfig {
        automatic: false,
        ..autonat::ClientConfig::default()
    };
    let server = serve.map(|[v1, v2]| autonat::ServerConfig {
        v1,
        v2,
        when: autonat::Serve::Always,
        ..autonat::ServerConfig::default()
    });
    let config = autonat::Config {
        client: server.is_none().then(client),
        server,
        private_addrs: true,
        ..autonat::Config::default()
    };
    Autonat::new(config).map_err(broken)
}

/// Hole punching at any address.
pub(crate) fn dcutr() -> Result<Dcutr, Error> {
    let config = dcutr::Config {
        private_addrs: true,
        unlimited: true,
        ..dcutr::Config::default()
    };
    Dcutr::new(config).map_err(broken)
}

/// Rendezvous at any address, as a point or only as a client.
pub(crate) fn rendezvous(identity: &Identity, serve: bool) -> Result<Rendezvous, Error> {
    let config = rendezvous::Config {
        serve,
        private_addrs: true,
        ..rendezvous::Config::default()
    };
    Rendezvous::new(identity.clone(), config).map_err(broken)
}

/// The name of the network in the contract.
const KAD: &str = "/interop/kad/1.0.0";

/// Kademlia as the contract wants it: any peer at any address; keys under `/interop/` take any value, and the last one that came counts.
pub(crate) fn kademlia(identity: &Identity, name: Option<&str>) -> Result<Kad, Error> {
    let name = ProtocolName::new(name.unwrap_or(KAD)).map_err(|error| Error::Usage(error.to_string()))?;
    let mut validators = Validators::public();
    // The public network has namespaces of its own.
    if name != libp2p_proto_kad::PUBLIC {
        validators = validators.with("interop", LastValue);
    }
    let config = kad::Config {
        mode: Mode::Server,
        ..kad::Config::private(name, validators)
    };
    Kad::new(identity.peer_id(), config).map_err(broken)
}

/// Any value; whoever writes last has written.
#[derive(Debug)]
struct LastValue;

impl Validator for LastValue {
    fn validate(&self, _: UnixTime, _: &[u8], _: &[u8]) -> Result<(), Invalid> {
        Ok(())
    }

    fn is_better(&self, _: &[u8], new: &[u8], old: &[u8]) -> bool {
        new != old
    }
}

/// A protocol refuses the configuration that this program gives it.
pub(crate) fn broken(error: impl Display) -> Error {
    Error::Failed(format!("configuration: {error}"))
}

/// Who is asked for names. Without a configuration of the system, only addresses can be dialed.
pub(crate) fn resolver() -> Option<Resolver> {
    let system = dns::Resolver::system().ok()?;
    Some(Arc::new(move |name, kind, answer| {
        system.resolve(name, kind, answer);
    }))
}

/// Runs to its end on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

/// When a run must be over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) limit: Duration,
    pub(crate) at: Instant,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        let now = Instant::now();
        Self {
            limit,
            // The command line allows no limit beyond the range of the clock.
            at: now.checked_add(limit).unwrap_or(now),
        }
    }

    /// What is told of a run that took too long.
    pub(crate) fn passed(self, doing: &str) -> String {
        format!(
            "the time limit of {} s was reached while {doing} (--timeout)",
            self.limit.as_secs_f64()
        )
    }
}

/// A running node, whatever it stands on.
pub(crate) type Node<A> = Handle<A>;

/// What a node stands on. The program around it always stands on tokio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Runtime {
    #[default]
    Tokio,
    Smol,
    AsyncStd,
    Mio,
}

impl Runtime {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::AsyncStd => "async-std",
            Self::Mio => "mio",
        }
    }

    /// Starts a node.
    pub(crate) fn spawn<A: App + Send>(
        self,
        identity: Identity,
        config: driver::Config,
        app: A,
    ) -> Result<Node<A>, Error> {
        Ok(match self {
            Self::Tokio => libp2p_proto_tokio::spawn(identity, config, app)?,
            Self::Smol => libp2p_proto_smol::spawn(identity, config, app)?,
            Self::AsyncStd => libp2p_proto_async_std::spawn(identity, config, app)?,
            Self::Mio => mio_loop::spawn(identity, config, app)?,
        })
    }
}
