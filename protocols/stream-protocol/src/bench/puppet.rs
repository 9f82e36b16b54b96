//! A protocol without a mind of its own: it records what it is told, and the test acts for it.

use crate::{Context, Input, Protocol, StreamSpec};
use alloc::{vec, vec::Vec};
use bytes::Bytes;
use core::fmt;
use libp2p_proto_core::StreamId;

/// Records every input in order; acts only through [`Bench::with`](super::Bench::with), or by the reaction that it was given.
pub struct Puppet {
    specs: Vec<StreamSpec>,
    /// Everything it was told.
    pub inputs: Vec<Input>,
    reaction: Option<fn(&mut Context<'_>, &Input)>,
}

impl Puppet {
    /// A puppet with one spec.
    pub fn new(spec: StreamSpec) -> Self {
        Self {
            specs: vec![spec],
            inputs: Vec::new(),
            reaction: None,
        }
    }

    /// A puppet with these specs.
    pub fn with_specs(specs: Vec<StreamSpec>) -> Self {
        Self {
            specs,
            inputs: Vec::new(),
            reaction: None,
        }
    }

    /// Lets it react to every input, before it records it.
    #[must_use]
    pub fn reacting(mut self, reaction: fn(&mut Context<'_>, &Input)) -> Self {
        self.reaction = Some(reaction);
        self
    }

    /// The streams that were opened, theirs and ours, in order.
    pub fn opened(&self) -> Vec<StreamId> {
        self.inputs
            .iter()
            .filter_map(|input| match input {
                Input::Opened { stream, .. } => Some(*stream),
                _ => None,
            })
            .collect()
    }

    /// The frames that came on a stream, in order.
    pub fn frames(&self, wanted: StreamId) -> Vec<Bytes> {
        self.inputs
            .iter()
            .filter_map(|input| match input {
                Input::Frame { stream, data } if *stream == wanted => Some(data.clone()),
                _ => None,
            })
            .collect()
    }
}

impl Protocol for Puppet {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        if let Some(reaction) = self.reaction {
            reaction(cx, &input);
        }
        self.inputs.push(input);
    }
}

impl fmt::Debug for Puppet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Puppet({} inputs)", self.inputs.len())
    }
}
