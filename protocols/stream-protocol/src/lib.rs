#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

#[cfg(any(test, feature = "bench"))]
pub mod bench;
mod context;
mod event;
mod exchange;
mod fact;
mod input;
mod journal;
mod message;
mod own;
mod spec;
mod words;

pub use context::{Context, Host, Target};
pub use event::EventQueue;
pub use exchange::{Answer, Exchanges};
pub use fact::{Fact, Reachability};
pub use input::{
    AttemptError, Closed, ConnectionInfo, Dial, DialError, DialOutcome, DialRefused, Expected, Input, Link,
    LinkError, OpenError, OrderError, PromoteError, TellError, WriteError,
};
pub use journal::{BadCommand, Journal, Noted};
pub use message::{
    FromConnection, Seat, SpecEntry, SpecId, SpecTable, StreamLimits, StreamOrder, ToConnection, Traffic,
};
pub use own::OwnAddresses;
pub use spec::{Framing, Matching, StreamSpec};
pub use words::{Reader, Words, put as put_word};

// For the macros: the crates that use them may have no `alloc` in scope.
#[doc(hidden)]
pub use alloc::string::String as __String;

use libp2p_proto_core::Deadline;

/// A protocol that runs over streams: the one open set of the family, hence the one trait. Object-safe.
///
/// A protocol learns of the world through [`Input`]s and acts through the lent [`Context`]. Its events wait in an [`EventQueue`] of its own type,
/// which the application polls; its commands are methods that record a wish and make [`poll_timeout`](Self::poll_timeout) due at once. A protocol that has commands
/// notes them in a [`Journal`], so that what a node did can be recorded and repeated in full.
pub trait Protocol {
    /// The streams that this protocol opens and accepts. The list is read when the swarm is built and must not change after.
    fn specs(&self) -> &[StreamSpec];

    /// One input; every effect goes through `cx` or into the protocol's own event queue.
    fn handle(&mut self, cx: &mut Context<'_>, input: Input);

    /// When [`Input::Timeout`] is due, if ever. Recorded commands answer [`Deadline::now`].
    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }

    /// Where the protocol notes its commands. `None`: it has none, or does not tell, and then it can't be repeated.
    fn journal(&mut self) -> Option<&mut Journal> {
        None
    }

    /// Does again what was noted in the journal, and notes it again. What the command answers to its caller is not kept: it shows in what comes out.
    ///
    /// # Errors
    ///
    /// [`BadCommand`].
    fn repeat(&mut self, _command: &str) -> Result<(), BadCommand> {
        Err(BadCommand)
    }
}

/// The protocols that an application lends for one call, always the same ones in the same order.
pub type Protocols<'a, 'p> = &'a mut [&'p mut dyn Protocol];
