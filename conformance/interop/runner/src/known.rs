//! Cells that can't pass, and why: `conformance/interop/known-failures.json`.
//!
//! The file maps a cell's name to `why` (with the other implementation's own error) and `seen` (words of what the table gets to see). An entry
//! explains its cell only while the cell fails with one of those words. A cell that passes all the same, fails with other words, or does not
//! exist makes the run red, so that the file never says what is not true.

use crate::cells::Cell;
use serde_json::Value;
use std::{collections::BTreeMap, error::Error};

/// How a cell counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With what was measured.
    Passed(String),
    /// With the error.
    Failed(String),
    /// As the file says: with the reason and the error.
    Known(String, String),
    /// With what one side does not have.
    Skipped(String),
}

#[derive(Debug)]
struct Entry {
    why: String,
    seen: Vec<String>,
    used: bool,
}

/// The file.
#[derive(Debug)]
pub(crate) struct KnownFailures(BTreeMap<String, Entry>);

impl KnownFailures {
    pub(crate) fn parse(text: &str) -> Result<Self, Box<dyn Error>> {
        let file: BTreeMap<String, Value> = serde_json::from_str(text)?;
        let entry = |(name, value): (String, Value)| -> Result<_, Box<dyn Error>> {
            let why = value.get("why").and_then(Value::as_str).unwrap_or_default();
            let seen = value.get("seen").and_then(Value::as_array).into_iter().flatten();
            let seen: Vec<_> = seen.filter_map(Value::as_str).map(str::to_owned).collect();
            if why.is_empty() || seen.is_empty() || seen.iter().any(String::is_empty) {
                return Err(format!("known failure {name:?}: `why` or `seen` is missing").into());
            }
            let why = why.to_owned();
            Ok((
                name,
                Entry {
                    why,
                    seen,
                    used: false,
                },
            ))
        };
        Ok(Self(file.into_iter().map(entry).collect::<Result<_, _>>()?))
    }

    /// How a cell counts.
    pub(crate) fn judge(&mut self, name: &str, cell: Cell) -> Outcome {
        let entry = self.0.get_mut(name);
        if let Some(entry) = entry {
            entry.used = true;
            return match cell {
                Cell::Passed(_) => Outcome::Failed("passes, but is listed as a known failure".to_owned()),
                Cell::Skipped(why) => {
                    Outcome::Failed(format!("is listed as a known failure, but skipped: {why}"))
                }
                Cell::Failed(error) if entry.seen.iter().any(|words| error.contains(words)) => {
                    Outcome::Known(entry.why.clone(), error)
                }
                Cell::Failed(error) => Outcome::Failed(format!("fails otherwise than listed: {error}")),
            };
        }
        match cell {
            Cell::Passed(detail) => Outcome::Passed(detail),
            Cell::Failed(error) => Outcome::Failed(error),
            Cell::Skipped(why) => Outcome::Skipped(why),
        }
    }

    /// The entries of a peer that belong to no cell of the run.
    pub(crate) fn stale(&self, peer: &str) -> Vec<String> {
        let of_peer = |name: &str| name.strip_prefix(peer).is_some_and(|rest| rest.starts_with(' '));
        let unused = self.0.iter().filter(|(name, entry)| !entry.used && of_peer(name));
        unused.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{KnownFailures, Outcome};
    use crate::cells::Cell;

    fn known() -> KnownFailures {
        KnownFailures::parse(
            r#"{"x dials ours ping": {"why": "upstream: `boom`", "seen": ["reset", "gone"]}}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_listed_cell_that_fails_as_listed_is_known() {
        let outcome = known().judge("x dials ours ping", Cell::Failed("the stream was reset".into()));
        assert_eq!(
            outcome,
            Outcome::Known("upstream: `boom`".into(), "the stream was reset".into())
        );
    }

    #[test]
    fn a_listed_cell_that_fails_otherwise_is_red() {
        let outcome = known().judge("x dials ours ping", Cell::Failed("wrong bytes".into()));
        assert_eq!(
            outcome,
            Outcome::Failed("fails otherwise than listed: wrong bytes".into())
        );
    }

    #[test]
    fn a_listed_cell_that_passes_or_is_skipped_is_red() {
        for cell in [Cell::Passed(String::new()), Cell::Skipped("not mounted".into())] {
            assert!(matches!(
                known().judge("x dials ours ping", cell),
                Outcome::Failed(_)
            ));
        }
    }

    #[test]
    fn a_cell_that_is_not_listed_counts_as_it_ended() {
        assert_eq!(
            known().judge("x ours dials ping", Cell::Passed("1 ms".into())),
            Outcome::Passed("1 ms".into())
        );
        assert_eq!(
            known().judge("x ours dials ping", Cell::Failed("e".into())),
            Outcome::Failed("e".into())
        );
    }

    #[test]
    fn an_entry_without_a_cell_is_stale_for_its_own_peer_only() {
        let mut known = known();
        assert_eq!(known.stale("x"), ["x dials ours ping"]);
        assert!(known.stale("y").is_empty());
        known.judge("x dials ours ping", Cell::Failed("gone".into()));
        assert!(known.stale("x").is_empty());
    }

    #[test]
    fn an_entry_without_a_reason_or_the_words_of_its_error_is_refused() {
        for text in [
            r#"{"x": {"seen": ["a"]}}"#,
            r#"{"x": {"why": "a"}}"#,
            r#"{"x": {"why": "a", "seen": []}}"#,
            r#"{"x": {"why": "a", "seen": [""]}}"#,
            r#"{"x": "a"}"#,
            "[]",
        ] {
            assert!(KnownFailures::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_file_of_this_project_is_well_formed() {
        KnownFailures::parse(include_str!("../../known-failures.json")).unwrap();
    }
}
