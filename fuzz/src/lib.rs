#![doc = include_str!("../README.md")]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a target fails by panicking"
)]

pub mod budget;
pub mod connection;
pub mod multistream_select;
pub mod mutate;
pub mod noise;
pub mod swarm;
pub mod yamux;

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its corpus, and of its libFuzzer program.
    pub name: &'static str,
    /// Runs it on one input. Whatever is wrong panics.
    pub run: fn(&[u8]),
}

/// Every target, by name.
pub const TARGETS: &[Target] = &[
    Target {
        name: "connection",
        run: connection::run,
    },
    Target {
        name: "multistream-select",
        run: multistream_select::run,
    },
    Target {
        name: "noise",
        run: noise::run,
    },
    Target {
        name: "swarm",
        run: swarm::run,
    },
    Target {
        name: "yamux",
        run: yamux::run,
    },
];
