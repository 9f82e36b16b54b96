//! The laws of a machine, as one test suite that every machine runs.
//!
//! A test shows its machine to the suite by implementing [`Machine`], writes a [`Script`] of what happens to it, and lets the laws hold:
//!
//! ```
//! use libp2p_proto_core::{Instant, ProtocolName, TransmitBuf};
//! use libp2p_proto_laws::{Laws, Machine, Said, Script};
//! use libp2p_proto_multistream_select::Negotiation;
//!
//! const NAMES: [ProtocolName; 1] = [ProtocolName::from_static("/noise")];
//!
//! struct Listener(Negotiation);
//!
//! impl Machine for Listener {
//!     fn handle_input(&mut self, _: Instant, input: &mut [u8]) -> Result<usize, String> {
//!         self.0.handle_input(input, &NAMES).map_err(|error| format!("{error:?}"))
//!     }
//!     fn poll_transmit(&mut self, _: Instant, out: &mut TransmitBuf<'_>) -> bool {
//!         self.0.poll_transmit(&NAMES, out)
//!     }
//! }
//!
//! let laws = Laws::of(|_| Listener(Negotiation::listener()));
//! laws.hold(&Script::new().input(b"\x13/multistream/1.0.0\n\x07/noise\n"));
//! laws.are_kept_after_an_error(&Script::new().input(b"\x13/multistream/2.0.0\n"), 64);
//! ```
//!
//! Protocols, which take inputs instead of bytes, have a suite of their own: [`protocol`].
#![allow(
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a law that does not hold fails its test by panicking"
)]

mod machine;
pub mod protocol;

/// Prints the hash of a machine's traces, so that those of different builds can be compared: `conformance/laws/run`.
fn told<T>(hash: u64) -> u64 {
    println!("\nlaw {} {hash:016x}", core::any::type_name::<T>());
    hash
}

pub use machine::{Laws, Machine, Said, Script};

#[doc(hidden)]
pub use {libp2p_proto_core, libp2p_proto_stream_protocol};

/// Makes a protocol of a tuple struct whose first field is one, so that a test can say what its application does: see [`Subject`](protocol::Subject).
#[macro_export]
macro_rules! wraps {
    ($name:ty) => {
        impl $crate::libp2p_proto_stream_protocol::Protocol for $name {
            fn specs(&self) -> &[$crate::libp2p_proto_stream_protocol::StreamSpec] {
                self.0.specs()
            }
            fn handle(
                &mut self,
                cx: &mut $crate::libp2p_proto_stream_protocol::Context<'_>,
                input: $crate::libp2p_proto_stream_protocol::Input,
            ) {
                let input = $crate::protocol::Subject::hears(self, input);
                self.0.handle(cx, input);
            }
            fn poll_timeout(&self) -> Option<$crate::libp2p_proto_core::Deadline> {
                self.0.poll_timeout()
            }
            fn journal(&mut self) -> Option<&mut $crate::libp2p_proto_stream_protocol::Journal> {
                self.0.journal()
            }
            fn repeat(
                &mut self,
                command: &str,
            ) -> Result<(), $crate::libp2p_proto_stream_protocol::BadCommand> {
                self.0.repeat(command)
            }
        }
    };
}
