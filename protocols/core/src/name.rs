//! Names of protocols.

use crate::Error;
use alloc::sync::Arc;
use core::{cmp::Ordering, fmt, hash};

/// The name of a protocol, as multistream-select proposes it: starts with `/`, has no line break, at most 1 023 bytes.
///
/// Cheap to clone; compared, ordered and hashed by its text.
#[derive(Clone)]
pub struct ProtocolName(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared(Arc<str>),
}

impl ProtocolName {
    /// The longest name, in bytes (go, js and nim refuse longer ones).
    pub const MAX_LEN: usize = 1023;

    /// A name known at compile time. A name that breaks the rules fails the build when used in a `const`.
    ///
    /// # Panics
    ///
    /// If the name breaks the rules; only reachable with a wrong literal of our own.
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_valid(name), "not a protocol name");
        Self(Repr::Static(name))
    }

    /// A name made at run time.
    ///
    /// # Errors
    ///
    /// [`Error::BadProtocolName`] if it breaks the rules.
    pub fn new(name: &str) -> Result<Self, Error> {
        if is_valid(name) {
            Ok(Self(Repr::Shared(Arc::from(name))))
        } else {
            Err(Error::BadProtocolName)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(name) => name,
            Repr::Shared(name) => name,
        }
    }
}

const fn is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > ProtocolName::MAX_LEN {
        return false;
    }
    let mut rest = bytes;
    let mut first = true;
    while let [byte, tail @ ..] = rest {
        if *byte == b'\n' || (first && *byte != b'/') {
            return false;
        }
        first = false;
        rest = tail;
    }
    true
}

impl AsRef<str> for ProtocolName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for ProtocolName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for ProtocolName {}

impl PartialOrd for ProtocolName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ProtocolName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl hash::Hash for ProtocolName {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_str().escape_debug())
    }
}
