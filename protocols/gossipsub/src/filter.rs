//! Which topics may be subscribed.

use crate::Topic;
use alloc::{collections::BTreeSet, sync::Arc};
use core::fmt;

/// A user's own filter: whether a topic may be subscribed.
pub type CustomFilter = Arc<dyn Fn(&Topic) -> bool + Send + Sync>;

/// Which topics may be subscribed, by peers and by us. Entries of other topics are ignored.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum SubscriptionFilter {
    /// All.
    #[default]
    All,
    /// These.
    Only(BTreeSet<Topic>),
    /// Those whose name begins so.
    Prefix(Arc<str>),
    /// Those for which the function says so.
    Custom(CustomFilter),
}

impl SubscriptionFilter {
    /// Whether a topic may be subscribed.
    pub fn allows(&self, topic: &Topic) -> bool {
        match self {
            Self::All => true,
            Self::Only(topics) => topics.contains(topic),
            Self::Prefix(prefix) => topic.as_str().starts_with(&**prefix),
            Self::Custom(function) => function(topic),
        }
    }
}

impl fmt::Debug for SubscriptionFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Only(topics) => write!(f, "Only({} topics)", topics.len()),
            Self::Prefix(prefix) => write!(f, "Prefix({prefix:?})"),
            Self::Custom(_) => f.write_str("Custom"),
        }
    }
}
