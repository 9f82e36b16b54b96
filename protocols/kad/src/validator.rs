//! Who decides what a value under a key may be, and which of several is best.

use crate::{Invalid, ipns::Ipns};
use alloc::{sync::Arc, vec::Vec};
use core::fmt;
use libp2p_proto_core::UnixTime;
use libp2p_proto_identity::PublicKey;

/// Judges the values of one namespace. Both functions are pure: equal arguments give equal answers.
pub trait Validator: fmt::Debug + Send + Sync {
    /// Whether `value` may stand under `key` at this time.
    ///
    /// # Errors
    ///
    /// [`Invalid`] says why not.
    fn validate(&self, unix: UnixTime, key: &[u8], value: &[u8]) -> Result<(), Invalid>;

    /// Whether `new` is better than `old`; both are valid. Equal values are not better.
    fn is_better(&self, key: &[u8], new: &[u8], old: &[u8]) -> bool;

    /// Answers that must agree before a search may end early, if the caller does not say. 0: the whole lookup. Default 0.
    fn quorum(&self) -> usize {
        0
    }
}

/// The validators of a network, by namespace.
#[derive(Clone, Debug, Default)]
pub struct Validators(Vec<(&'static str, Arc<dyn Validator>)>);

impl Validators {
    /// No namespace at all.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Those of the public network: `pk` and `ipns`.
    pub fn public() -> Self {
        Self::none().with("pk", PublicKeys).with("ipns", Ipns)
    }

    /// The same and one more namespace, in place of the one of that name.
    #[must_use]
    pub fn with(mut self, namespace: &'static str, validator: impl Validator + 'static) -> Self {
        self.0.retain(|(name, _)| *name != namespace);
        self.0.push((namespace, Arc::new(validator)));
        self
    }

    /// The names.
    pub fn namespaces(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|(name, _)| *name)
    }

    /// Who is responsible for a key.
    ///
    /// # Errors
    ///
    /// [`Invalid::BadKey`] if the key is not `/namespace/rest`, [`Invalid::UnknownNamespace`].
    pub fn of(&self, key: &[u8]) -> Result<&dyn Validator, Invalid> {
        let name = namespace(key).ok_or(Invalid::BadKey)?;
        let found = self.0.iter().find(|(known, _)| known.as_bytes() == name);
        found
            .map(|(_, validator)| &**validator)
            .ok_or(Invalid::UnknownNamespace)
    }

    /// Whether `value` may stand under `key`.
    ///
    /// # Errors
    ///
    /// Those of [`of`](Self::of) and of the validator.
    pub fn validate(&self, unix: UnixTime, key: &[u8], value: &[u8]) -> Result<(), Invalid> {
        self.of(key)?.validate(unix, key, value)
    }
}

/// The namespace of `/namespace/rest`.
fn namespace(key: &[u8]) -> Option<&[u8]> {
    let rest = key.strip_prefix(b"/")?;
    let end = rest.iter().position(|byte| *byte == b'/')?;
    rest.get(..end).filter(|name| !name.is_empty())
}

/// `/pk/<peer id>`: the public key of that peer.
#[derive(Clone, Copy, Debug)]
pub struct PublicKeys;

impl Validator for PublicKeys {
    fn validate(&self, _unix: UnixTime, key: &[u8], value: &[u8]) -> Result<(), Invalid> {
        let id = key.strip_prefix(b"/pk/").ok_or(Invalid::BadKey)?;
        let public = PublicKey::decode(value).map_err(|_| Invalid::Malformed)?;
        if public.peer_id().as_bytes() == id {
            Ok(())
        } else {
            Err(Invalid::WrongKey)
        }
    }

    fn is_better(&self, _key: &[u8], _new: &[u8], _old: &[u8]) -> bool {
        false
    }
}

/// Any value under any key of the namespace; the one with the greater bytes is the better one, so that all nodes agree. For private networks and tests: whoever can write,
/// overwrites.
#[derive(Clone, Copy, Debug)]
pub struct AnyValue;

impl Validator for AnyValue {
    fn validate(&self, _unix: UnixTime, _key: &[u8], _value: &[u8]) -> Result<(), Invalid> {
        Ok(())
    }

    fn is_better(&self, _key: &[u8], new: &[u8], old: &[u8]) -> bool {
        new > old
    }
}
