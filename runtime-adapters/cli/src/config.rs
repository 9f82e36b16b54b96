//! The configuration file.

use libp2p_proto_core::Multiaddr;
use libp2p_proto_swarm as swarm;
use serde::Deserialize;
use std::{error::Error, path::Path, path::PathBuf, time::Duration};

/// A configuration file in TOML. Every field may be missing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    /// Addresses to listen on.
    pub(crate) listen: Vec<String>,
    /// Peers to connect to at the start.
    pub(crate) bootstrap: Vec<String>,
    /// A key file, made if it does not exist; readable by its owner only.
    pub(crate) identity: Option<PathBuf>,
    /// Where the addresses of peers are kept between runs.
    pub(crate) address_book: Option<PathBuf>,
    /// Limits.
    pub(crate) limits: Limits,
}

/// Limits of the file; what is missing keeps the default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    max_connections: Option<usize>,
    max_inbound: Option<usize>,
    max_per_peer: Option<usize>,
    max_per_ip: Option<usize>,
    max_pending_inbound: Option<usize>,
    max_pending_per_ip: Option<usize>,
    accepts_per_second: Option<u32>,
    /// Seconds; 0: never.
    idle_timeout: Option<u64>,
}

impl File {
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Box<dyn Error>> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let file = toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(file)
    }

    pub(crate) fn listen_addrs(&self) -> Result<Vec<Multiaddr>, Box<dyn Error>> {
        self.listen.iter().map(|text| parse(text)).collect()
    }

    pub(crate) fn bootstrap_addrs(&self) -> Result<Vec<Multiaddr>, Box<dyn Error>> {
        self.bootstrap.iter().map(|text| parse(text)).collect()
    }

    pub(crate) fn swarm_config(&self) -> swarm::Config {
        let limits = &self.limits;
        // A person at a terminal keeps a connection by keeping the program running.
        let mut config = swarm::Config {
            idle_timeout: Some(Duration::from_secs(300)),
            ..swarm::Config::default()
        };
        let set = |to: &mut usize, from: Option<usize>| *to = from.unwrap_or(*to);
        set(&mut config.max_connections, limits.max_connections);
        set(&mut config.max_inbound, limits.max_inbound);
        set(&mut config.max_per_peer, limits.max_per_peer);
        set(&mut config.max_per_ip, limits.max_per_ip);
        set(&mut config.max_pending_inbound, limits.max_pending_inbound);
        set(&mut config.max_pending_per_ip, limits.max_pending_per_ip);
        config.accepts_per_second = limits.accepts_per_second.unwrap_or(config.accepts_per_second);
        if let Some(secs) = limits.idle_timeout {
            config.idle_timeout = (secs > 0).then(|| Duration::from_secs(secs));
        }
        config
    }
}

fn parse(text: &str) -> Result<Multiaddr, Box<dyn Error>> {
    text.parse().map_err(|error| format!("{text}: {error}").into())
}
