//! The guides: [`protocols/README.md`](protocol), [`runtime-adapters/README.md`](runtime), and the page for those who come from rust-libp2p. What they show compiles and runs
//! as the doc-tests of this crate.
#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::missing_errors_doc,
    clippy::new_without_default,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a guide explains its program in its text, and is read before it is run"
)]

#[doc = include_str!("../../../protocols/README.md")]
pub mod protocol {
    include!(concat!(env!("OUT_DIR"), "/protocol.rs"));
}

#[doc = include_str!("../../../runtime-adapters/README.md")]
pub mod runtime {
    include!(concat!(env!("OUT_DIR"), "/runtime.rs"));
}

#[cfg(doctest)]
#[doc = include_str!("../../../runtime-adapters/from-rust-libp2p.md")]
mod from_rust_libp2p {}
