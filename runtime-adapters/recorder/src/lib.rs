#![doc = include_str!("../README.md")]

mod lines;
mod recorder;
mod replay;

pub use lines::{Line, Wrong};
pub use recorder::{Recorder, VERSION};
pub use replay::{Divergence, Header, Replay, Step};

use siphasher::sip::SipHasher13;
use std::{fmt::Debug, hash::Hasher as _};

/// 64 bits that stand for something that came out: of its debug text, which is the same on every platform.
fn digest(value: &impl Debug) -> u64 {
    digest_of(format!("{value:?}"))
}

fn digest_of(text: impl AsRef<[u8]>) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_ref());
    hasher.finish()
}
