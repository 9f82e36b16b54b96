//! How much of a remote is borne.

use crate::Error;

/// How much of a remote is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, line break included. 64 to 16 383, default 1 024, as in go and js.
    pub message: u16,
    /// Proposals that a listener refuses on one stream before it ends the negotiation. Default 32.
    pub refusals: u8,
}

impl Limits {
    /// What [`Limits::default`] gives.
    pub const DEFAULT: Self = Self {
        message: 1024,
        refusals: 32,
    };

    /// Whether each limit is within its range.
    ///
    /// # Errors
    ///
    /// [`Error::BadLimit`] names the first that isn't.
    pub const fn validate(&self) -> Result<(), Error> {
        if self.message < 64 || self.message > 16_383 {
            return Err(Error::BadLimit("message"));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
