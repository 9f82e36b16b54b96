//! What goes into a node, in a file.

use crate::{
    config::current_limits,
    error::Error,
    listen::Listener,
    output::{Lines, complain},
    session::Dialer,
};
use libp2p_proto_driver::App;
use libp2p_proto_identity::Identity;
use libp2p_proto_recorder::Recorder;
use libp2p_proto_swarm as swarm;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    time::Duration,
};

/// The largest recording, in bytes.
const LIMIT: u64 = 256 << 20;

/// What a reader needs to build the same node again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Built {
    pub(crate) who: Who,
    /// The name of Kademlia, if it is not that of the contract.
    pub(crate) kad_protocol: Option<String>,
    /// As in a configuration file.
    pub(crate) limits: String,
}

/// Which protocols, and how.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Who {
    Listener {
        services: Vec<String>,
        topics: Vec<String>,
        /// Whether it keeps slots at relays.
        #[serde(default)]
        reserves: bool,
    },
    Dialer(Dialing),
}

/// What a dialer is built for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Dialing {
    /// Names that it may be asked to handle.
    pub(crate) names: Vec<String>,
    /// How long its exchanges may take.
    pub(crate) limit: Duration,
    /// Whether it asks Kademlia.
    pub(crate) kad: bool,
    /// Whether it upgrades relayed connections.
    #[serde(default)]
    pub(crate) dcutr: bool,
}

impl Built {
    pub(crate) fn new(who: Who, kad_protocol: Option<&str>, limits: &swarm::Config) -> Self {
        Self {
            who,
            kad_protocol: kad_protocol.map(str::to_owned),
            limits: current_limits(limits),
        }
    }

    /// The same protocols, with nobody to tell anything.
    pub(crate) fn build(&self, identity: &Identity) -> Result<Box<dyn App>, Error> {
        let kad = self.kad_protocol.as_deref();
        Ok(match &self.who {
            Who::Listener {
                services,
                topics,
                reserves,
            } => {
                let services: Vec<&str> = services.iter().map(String::as_str).collect();
                Box::new(Listener::new(
                    identity,
                    &services,
                    topics,
                    kad,
                    *reserves,
                    Lines::nowhere(),
                )?)
            }
            Who::Dialer(dialing) => Box::new(Dialer::new(identity, dialing, kad)?),
        })
    }
}

/// A recording under way.
pub(crate) struct Recording {
    path: PathBuf,
    recorder: Recorder,
    /// Who signs, and has it recorded.
    identity: Identity,
}

impl Recording {
    /// Begins a new file, which its owner only can read: what peers say may be private.
    pub(crate) fn start(path: &Path, identity: &Identity, built: &Built) -> Result<Self, Error> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| Error::file(path, error))?;
        let built = serde_json::to_string(built).map_err(|error| Error::file(path, error))?;
        let (recorder, identity) = Recorder::new(identity.clone(), &built, BufWriter::new(file), LIMIT);
        Ok(Self {
            path: path.to_owned(),
            recorder,
            identity,
        })
    }

    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Says so if the recording is not whole.
    pub(crate) fn finish(self) {
        self.recorder.flush();
        if !self.recorder.is_whole() {
            let (name, mib) = (self.path.display(), LIMIT >> 20);
            complain(&format!(
                "{name}: the recording stopped early, at its limit of {mib} MiB or with a full disk"
            ));
        }
    }
}
