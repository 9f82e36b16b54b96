//! One node: the mio loop, and the protocols that the command lends to it.

use crate::{args::Common, config::File};
use libp2p_proto_core::{Multiaddr, ProtocolName, Rng};
use libp2p_proto_echo::Echo;
use libp2p_proto_fetch::Fetch;
use libp2p_proto_identify::Identify;
use libp2p_proto_identity::{Identity, KeyType, Keypair};
use libp2p_proto_mio as mio;
use libp2p_proto_perf::Perf;
use libp2p_proto_ping::Ping;
use libp2p_proto_request_response::{self as reqresp, RequestResponse};
use libp2p_proto_stream_protocol::Protocol;
use libp2p_proto_streams::Streams;
use std::{error::Error, net::IpAddr, time::Duration};

/// `/echo/1.0.0`.
pub(crate) const ECHO: ProtocolName = ProtocolName::from_static("/echo/1.0.0");
/// `/interop/reqresp/1.0.0`.
pub(crate) const REQRESP: ProtocolName = ProtocolName::from_static("/interop/reqresp/1.0.0");

/// The longest sleep of the loop, so that a signal is noticed.
const NAP: Duration = Duration::from_millis(200);

/// The protocols of the command, each there or not.
#[derive(Default)]
pub(crate) struct Protocols {
    pub(crate) identify: Option<Identify>,
    pub(crate) ping: Option<Ping>,
    pub(crate) perf: Option<Perf>,
    pub(crate) echo: Option<Echo>,
    pub(crate) fetch: Option<Fetch>,
    pub(crate) reqresp: Option<RequestResponse>,
    pub(crate) streams: Option<Streams>,
}

impl Protocols {
    /// The list that is lent, always in this order.
    fn list(&mut self) -> Vec<&mut dyn Protocol> {
        let mut list: Vec<&mut dyn Protocol> = Vec::new();
        if let Some(protocol) = &mut self.identify {
            list.push(protocol);
        }
        if let Some(protocol) = &mut self.ping {
            list.push(protocol);
        }
        if let Some(protocol) = &mut self.perf {
            list.push(protocol);
        }
        if let Some(protocol) = &mut self.echo {
            list.push(protocol);
        }
        if let Some(protocol) = &mut self.fetch {
            list.push(protocol);
        }
        if let Some(protocol) = &mut self.reqresp {
            list.push(protocol);
        }
        if let Some(protocol) = &mut self.streams {
            list.push(protocol);
        }
        list
    }
}

/// The node and its protocols.
pub(crate) struct Node {
    pub(crate) mio: mio::Node,
    pub(crate) protocols: Protocols,
}

impl Node {
    pub(crate) fn new(
        identity: Identity,
        file: &File,
        mut protocols: Protocols,
    ) -> Result<Self, Box<dyn Error>> {
        let config = mio::Config {
            swarm: file.swarm_config(),
        };
        let mio = mio::Node::new(identity, config, &mut protocols.list())?;
        Ok(Self { mio, protocols })
    }

    /// One turn of the loop, for at most `wait`.
    pub(crate) fn turn(&mut self, wait: Option<Duration>) -> Result<(), Box<dyn Error>> {
        let wait = wait.unwrap_or(NAP).min(NAP);
        self.mio.turn(&mut self.protocols.list(), Some(wait))?;
        while let Some((query, name, kind)) = self.mio.poll_resolve() {
            let answer = resolve(&name, kind);
            let now = self.mio.now();
            self.mio.swarm().handle_resolved(now, query, answer);
        }
        Ok(())
    }

    /// Listens, and announces the addresses of the interfaces where all of them are meant.
    pub(crate) fn listen(&mut self, addr: &Multiaddr) -> Result<Vec<Multiaddr>, Box<dyn Error>> {
        let bound = self.mio.listen(addr)?;
        let Some((ip, port)) = bound.socket_tcp().filter(|(ip, _)| ip.is_unspecified()) else {
            return Ok(vec![bound]);
        };
        let now = self.mio.now();
        self.mio.swarm().handle_listening(now, bound, false);
        let mut addrs = Vec::new();
        for interface in if_addrs::get_if_addrs()? {
            let own = interface.ip();
            let link_local = matches!(own, IpAddr::V6(own) if own.is_unicast_link_local());
            if own.is_ipv4() == ip.is_ipv4() && !link_local {
                let addr = Multiaddr::tcp(own, port);
                self.mio.swarm().handle_listening(now, addr.clone(), true);
                addrs.push(addr);
            }
        }
        Ok(addrs)
    }
}

/// Asks the operating system's resolver for addresses. TXT records need a resolver of their own, which this loop does not have.
fn resolve(
    name: &str,
    kind: libp2p_proto_swarm::ResolveKind,
) -> Result<Vec<libp2p_proto_swarm::Record>, &'static str> {
    use libp2p_proto_swarm::{Record, ResolveKind};
    use std::net::ToSocketAddrs as _;
    let wanted = |ip: &IpAddr| match kind {
        ResolveKind::Ip4 => ip.is_ipv4(),
        ResolveKind::Ip6 => ip.is_ipv6(),
        ResolveKind::Ip => true,
        ResolveKind::Txt => false,
    };
    if kind == ResolveKind::Txt {
        return Err("txt-not-supported");
    }
    let addrs = (name, 0).to_socket_addrs().map_err(|_| "name-not-found")?;
    Ok(addrs
        .map(|addr| addr.ip())
        .filter(wanted)
        .map(Record::Ip)
        .collect())
}

/// Fresh dice from the operating system.
pub(crate) fn entropy() -> Result<Rng, Box<dyn Error>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(Rng::from_seed(seed))
}

/// The identity that the options and the configuration ask for.
pub(crate) fn identity(common: &Common, file: &File) -> Result<Identity, Box<dyn Error>> {
    if let Some(number) = common.seed {
        let mut seed = [0; 32];
        if let Some(head) = seed.first_chunk_mut::<4>() {
            *head = number.to_le_bytes();
        }
        return Ok(Keypair::ed25519_from_seed(seed).into());
    }
    if let Some(path) = &file.identity {
        return Ok(crate::keys::load_or_make(path, common.key)?.into());
    }
    Ok(new_keys(common.key)?.into())
}

pub(crate) fn new_keys(key: KeyType) -> Result<Keypair, Box<dyn Error>> {
    Ok(Keypair::generate(key, &mut entropy()?)?)
}

/// Identify, as this program introduces itself.
pub(crate) fn identify(identity: &Identity) -> Result<Identify, Box<dyn Error>> {
    let config = libp2p_proto_identify::Config {
        agent_version: concat!("libp2p-proto/p2p/", env!("CARGO_PKG_VERSION")).into(),
        ..libp2p_proto_identify::Config::default()
    };
    Ok(Identify::new(identity.clone(), config)?)
}

/// What the fetch service answers.
pub(crate) fn lookup(key: &str) -> Option<Vec<u8>> {
    let key = key.strip_prefix("interop/").filter(|key| *key != "missing")?;
    Some(format!("value-of-{key}").into_bytes())
}

/// The request-response protocol of the command: everything up to the end of the stream is one message.
pub(crate) fn request_response(serve: bool) -> Result<RequestResponse, Box<dyn Error>> {
    let spec = reqresp::Spec::until_end(REQRESP, 1 << 20, 1 << 20);
    Ok(RequestResponse::new(
        vec![spec],
        reqresp::Config {
            max_inbound: u16::from(serve).saturating_mul(32),
            ..Default::default()
        },
    )?)
}
