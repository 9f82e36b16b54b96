//! Byzantine peers: programs that get a pipe and read and write what they like.

use libp2p_proto_core::{Instant, Rng};

/// A pipe of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub(crate) u32, pub(crate) u8);

/// What an actor learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Heard<'a> {
    /// The simulation begins.
    Start,
    /// A link stands: one that was dialed, or one of somebody who dialed.
    Opened {
        /// The link.
        link: Link,
        /// The place at its other end.
        place: usize,
        /// Whether the actor dialed it.
        dialed: bool,
    },
    /// A link that was dialed can't be had.
    Refused {
        /// The place that was dialed.
        place: usize,
    },
    /// Bytes.
    Bytes {
        /// The link.
        link: Link,
        /// What arrived.
        bytes: &'a [u8],
    },
    /// The other end sends no more.
    Ended {
        /// The link.
        link: Link,
    },
    /// The link is broken.
    Broken {
        /// The link.
        link: Link,
    },
    /// The moment has come.
    Wake,
}

/// A program.
pub trait Actor {
    /// Something happened; what is to be done goes through `cx`.
    fn handle(&mut self, cx: &mut Stage<'_>, heard: Heard<'_>);
}

impl<F: FnMut(&mut Stage<'_>, Heard<'_>)> Actor for F {
    fn handle(&mut self, cx: &mut Stage<'_>, heard: Heard<'_>) {
        self(cx, heard);
    }
}

/// What an actor may do while it handles something.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The simulation's time.
    pub now: Instant,
    /// The actor's own dice.
    pub dice: &'a mut Rng,
    pub(crate) deeds: Vec<Deed>,
}

#[derive(Debug)]
pub(crate) enum Deed {
    Write(Link, Vec<u8>),
    End(Link),
    Reset(Link),
    Dial(usize),
    WakeAt(Instant),
    Note(String),
}

impl Stage<'_> {
    /// Sends bytes.
    pub fn write(&mut self, link: Link, bytes: impl Into<Vec<u8>>) {
        self.deeds.push(Deed::Write(link, bytes.into()));
    }

    /// Sends no more; still reads.
    pub fn end(&mut self, link: Link) {
        self.deeds.push(Deed::End(link));
    }

    /// Breaks a link.
    pub fn reset(&mut self, link: Link) {
        self.deeds.push(Deed::Reset(link));
    }

    /// Dials a host or another actor; [`Heard::Opened`] or [`Heard::Refused`] follows, unless a fault swallows it.
    pub fn dial(&mut self, place: usize) {
        self.deeds.push(Deed::Dial(place));
    }

    /// Asks for [`Heard::Wake`].
    pub fn wake_at(&mut self, at: Instant) {
        self.deeds.push(Deed::WakeAt(at));
    }

    /// Writes a line into the trace.
    pub fn note(&mut self, what: impl Into<String>) {
        self.deeds.push(Deed::Note(what.into()));
    }
}
