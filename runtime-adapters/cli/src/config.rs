//! The configuration file.

mod limits;

use crate::{args::Common, error::Error};
use libp2p_proto_core::Multiaddr;
use libp2p_proto_swarm as swarm;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fmt::Display,
    fs,
    path::{Path, PathBuf},
};
use toml::{Spanned, Value};

pub(crate) use limits::{current as current_limits, swarm_config};

/// What a configuration file says, checked.
#[derive(Debug)]
pub(crate) struct Config {
    /// Addresses to listen on.
    pub(crate) listen: Vec<Multiaddr>,
    /// Peers to stay connected to.
    pub(crate) bootstrap: Vec<Multiaddr>,
    /// A key file, made if it does not exist.
    pub(crate) identity: Option<PathBuf>,
    /// Where the addresses of peers are kept between runs.
    pub(crate) address_book: Option<PathBuf>,
    /// Limits of the swarm.
    pub(crate) swarm: swarm::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            bootstrap: Vec::new(),
            identity: None,
            address_book: None,
            swarm: swarm_config(),
        }
    }
}

/// The file as it stands.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[derive(Default)]
struct File {
    listen: Vec<Spanned<String>>,
    bootstrap: Vec<Spanned<String>>,
    identity: Option<PathBuf>,
    address_book: Option<PathBuf>,
    limits: BTreeMap<Spanned<String>, Spanned<Value>>,
}

impl Config {
    /// Reads a file; without one, everything is as by default.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let text = fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
        let mut config = Self::parse(&text).map_err(|wrong| wrong.at(path, &text))?;
        // A file means the same wherever the command is run.
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for path in [&mut config.identity, &mut config.address_book]
            .into_iter()
            .flatten()
        {
            *path = folder.join(&*path);
        }
        Ok(config)
    }

    /// What the options of a node point to.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and for what does not go together.
    pub(crate) fn of(common: &Common) -> Result<Self, Error> {
        let config = Self::read(common.config.as_deref())?;
        if common.record.is_some() && config.address_book.is_some() {
            let line = "--record: a recording does not hold the address book: leave address_book out";
            return Err(Error::Usage(String::from(line)));
        }
        Ok(config)
    }

    /// The limits of a recording, as [`current_limits`] wrote them.
    pub(crate) fn limits(lines: &str) -> Option<swarm::Config> {
        Self::parse(&format!("[limits]\n{lines}"))
            .ok()
            .map(|config| config.swarm)
    }

    fn parse(text: &str) -> Result<Self, Wrong> {
        let file: File = toml::from_str(text).map_err(|error| Wrong {
            at: error.span().map(|span| span.start),
            cause: error.message().replace('\n', " "),
        })?;
        let mut table = limits::Config::new();
        let mut config = Self {
            listen: addresses("listen", &file.listen)?,
            bootstrap: addresses("bootstrap", &file.bootstrap)?,
            identity: file.identity,
            address_book: file.address_book,
            ..Self::default()
        };
        for (name, value) in &file.limits {
            let written = text.get(value.span()).unwrap_or_default();
            limits::set(&mut table, name.get_ref(), value.get_ref(), written).map_err(|cause| Wrong {
                at: Some(name.span().start),
                cause,
            })?;
        }
        config.swarm = table.finish();
        // The ranges of the table are those of one key; how keys fit together is the swarm's to say.
        config.swarm.validate().map_err(|error| Wrong {
            at: None,
            cause: format!("limits: {error}"),
        })?;
        Ok(config)
    }
}

/// What is wrong with a file, and at which byte.
struct Wrong {
    at: Option<usize>,
    cause: String,
}

impl Wrong {
    fn at(self, path: &Path, text: &str) -> Error {
        let place = self.at.map(|at| {
            let before = text.get(..at).unwrap_or(text);
            before
                .bytes()
                .filter(|byte| *byte == b'\n')
                .count()
                .saturating_add(1)
        });
        let place = place.map_or_else(String::new, |line| format!(":{line}"));
        Error::Usage(format!("{}{place}: {}", path.display(), self.cause))
    }
}

fn addresses(key: &str, texts: &[Spanned<String>]) -> Result<Vec<Multiaddr>, Wrong> {
    let wrong = |text: &Spanned<String>, cause: &dyn Display| Wrong {
        at: Some(text.span().start),
        cause: format!("{key}: {}: {cause}", text.get_ref()),
    };
    texts
        .iter()
        .map(|text| text.get_ref().parse().map_err(|error| wrong(text, &error)))
        .collect()
}

/// A file with every key, its default, its unit and its range.
pub(crate) fn example() -> String {
    let head = "\
# Configuration of p2p: p2p listen --config FILE. Every key may be left out; options win over it. Paths begin at this file's folder.

# Addresses to listen on; 0.0.0.0 and :: stand for the addresses of all interfaces.
listen = [\"/ip4/127.0.0.1/tcp/0\"]

# Peers to stay connected to: dialed at the start, and again when they are lost, after a pause that grows from a second to five minutes.
bootstrap = []

# A key file in any format that `p2p id` reads, made if it does not exist; it must be readable by its owner only.
# identity = \"node.key\"

# Where the addresses of peers are kept between runs.
# address_book = \"peers.book\"

[limits]
";
    let mut out = String::from(head);
    out.push_str(&limits::example());
    out
}

#[cfg(test)]
mod tests {
    use super::Config;
    use std::path::Path;

    fn wrong(text: &str) -> String {
        let wrong = Config::parse(text).expect_err("refused");
        wrong.at(Path::new("f.toml"), text).to_string()
    }

    #[test]
    fn the_example_says_what_holds_by_default() {
        let config = Config::parse(&super::example()).unwrap_or_else(|wrong| panic!("{}", wrong.cause));
        assert_eq!(
            format!("{:?}", config.swarm),
            format!("{:?}", Config::default().swarm)
        );
        assert_eq!(config.listen.len(), 1);
    }

    #[test]
    fn connections_are_trimmed_only_if_the_file_says_at_how_many() {
        let trim = |text| Config::parse(text).map(|config| config.swarm.trim);
        assert!(matches!(trim("[limits]\ntrim_low = 3\ntrim_grace = 5"), Ok(None)));
        let text = "[limits]\ntrim_low = 3\ntrim_high = 9\ntrim_grace = 5\ntrim_every = 0.5";
        let Ok(Some(found)) = trim(text) else {
            panic!("not trimmed");
        };
        assert_eq!((found.high, found.low), (9, 3));
        assert_eq!((found.grace.as_millis(), found.every.as_millis()), (5000, 500));
        let line = wrong("[limits]\ntrim_low = 10\ntrim_high = 9");
        assert!(line.contains("limits") && line.contains("trim"), "{line}");
    }

    #[test]
    fn unknown_keys_and_bad_values_are_named_with_their_line_and_range() {
        for (text, parts) in [
            ("lisen = []", &["f.toml:1:", "lisen", "listen"][..]),
            (
                "\n\nlisten = [\"/ip4/127.0.0.1\", \"127.0.0.1\"]",
                &["f.toml:3:", "127.0.0.1"],
            ),
            ("bootstrap = 3", &["f.toml:1:"]),
            ("listen = [", &["f.toml:1:"]),
            (
                "[limits]\nmax_conections = 3",
                &["f.toml:2:", "max_conections", "max_connections"],
            ),
            (
                "[limits]\n\nmax_connections = 0",
                &["f.toml:3:", "max_connections", "1 to "],
            ),
            (
                "[limits]\nmax_connections = \"many\"",
                &["f.toml:2:", "max_connections", "whole number"],
            ),
            ("[limits]\nmax_connections = 1.5", &["f.toml:2:", "whole number"]),
            ("[limits]\nmax_connections = -1", &["f.toml:2:", "1 to "]),
            (
                "[limits]\ninbound_upgrade = 0",
                &["f.toml:2:", "inbound_upgrade", "seconds"],
            ),
            ("[limits]\ninbound_upgrade = 1e300", &["f.toml:2:", "seconds"]),
            ("[limits]\ninbound_upgrade = nan", &["f.toml:2:", "seconds"]),
        ] {
            let line = wrong(text);
            assert!(!line.contains('\n'), "{line}");
            for part in parts {
                assert!(line.contains(part), "{text:?}: {line}");
            }
        }
    }
}
