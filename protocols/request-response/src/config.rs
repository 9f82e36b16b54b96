//! Names, framings and limits.

use crate::Error;
use core::time::Duration;
use libp2p_proto_core::ProtocolName;
use libp2p_proto_stream_protocol::Framing;

/// One protocol name, with its framing and its limits.
#[derive(Clone, Debug)]
pub struct Spec {
    pub(crate) name: ProtocolName,
    pub(crate) delimited: bool,
    pub(crate) max_request: usize,
    pub(crate) max_response: usize,
}

impl Spec {
    /// Messages end where their sender half-closes. Limits in bytes.
    pub const fn until_end(name: ProtocolName, max_request: usize, max_response: usize) -> Self {
        Self {
            name,
            delimited: false,
            max_request,
            max_response,
        }
    }

    /// Messages have a varint length in front. Limits in bytes, the prefix not counted.
    pub const fn length_delimited(name: ProtocolName, max_request: usize, max_response: usize) -> Self {
        Self {
            name,
            delimited: true,
            max_request,
            max_response,
        }
    }

    /// The connection enforces the larger limit on the wire; the machine enforces each on its own direction.
    pub(crate) fn framing(&self) -> Framing {
        let max = self.max_request.max(self.max_response);
        if self.delimited {
            Framing::LengthDelimited { max }
        } else {
            Framing::UntilEnd { max }
        }
    }
}

/// Limits shared by all specs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Time for a whole request of ours on a live connection: negotiation, writing, waiting, reading. Default 10 s.
    pub timeout: Duration,
    /// Time for a request to arrive, from the opening of its stream. Default 10 s.
    pub read_timeout: Duration,
    /// Time for the application to answer and the answer to leave. Default 10 s.
    pub respond_timeout: Duration,
    /// Inbound streams of one spec on one connection. 0: only ask, never serve. Default 100.
    pub max_inbound: u16,
    /// Outbound streams of one spec on one connection; more requests wait. Default 100.
    pub max_outbound: u16,
    /// Requests that wait for one peer. Default 32.
    pub max_queued: usize,
    /// Requests of ours that are not ended. Default 1 024.
    pub max_requests: usize,
    /// Whether a request to a peer that is not connected dials it; it fails otherwise. Default true.
    pub dial: bool,
    /// Events that may wait. Default 1 024.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(10),
            respond_timeout: Duration::from_secs(10),
            max_inbound: 100,
            max_outbound: 100,
            max_queued: 32,
            max_requests: 1024,
            dial: true,
            max_events: 1024,
        }
    }
}

pub(crate) fn validate(specs: &[Spec], config: &Config) -> Result<(), Error> {
    if specs.is_empty() || specs.len() > usize::from(u8::MAX) {
        return Err(Error::BadConfig("specs"));
    }
    if specs
        .iter()
        .any(|spec| spec.max_request == 0 || spec.max_response == 0)
    {
        return Err(Error::BadConfig("max_request or max_response"));
    }
    if config.max_outbound == 0 {
        return Err(Error::BadConfig("max_outbound"));
    }
    Ok(())
}
