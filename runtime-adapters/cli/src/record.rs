//! What goes into a listener, in a file.

use crate::{
    config::{Config, current_limits},
    error::Error,
    output::complain,
};
use libp2p_proto_identity::Identity;
use libp2p_proto_recorder::Recorder;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

/// The largest recording, in bytes.
const LIMIT: u64 = 256 << 20;

/// What a reader needs to build the same node again.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Built {
    pub(crate) services: Vec<String>,
    pub(crate) topics: Vec<String>,
    /// The name of Kademlia, if it is not that of the contract.
    #[serde(default)]
    pub(crate) kad_protocol: Option<String>,
    /// As in a configuration file.
    pub(crate) limits: String,
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
    pub(crate) fn start(
        path: &Path,
        identity: &Identity,
        config: &Config,
        services: &[&str],
        topics: Vec<String>,
        kad_protocol: Option<String>,
    ) -> Result<Self, Error> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| Error::file(path, error))?;
        let built = Built {
            services: services.iter().map(ToString::to_string).collect(),
            topics,
            kad_protocol,
            limits: current_limits(&config.swarm),
        };
        let built = serde_json::to_string(&built).map_err(|error| Error::file(path, error))?;
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
