//! The suites of other implementations that a list restates: each test of theirs has one of ours, or a reason.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of all test functions below a folder.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("#[test]").skip(1).filter_map(|rest| {
                let (_, rest) = rest.split_once("fn ")?;
                Some(rest.split_once('(')?.0.to_owned())
            });
            found.extend(names);
        }
    }
}

/// Whole words of the text that begin so.
fn words<'a>(text: &'a str, beginning: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(move |word| word.len() > beginning.len() && word.starts_with(beginning))
}

#[test]
fn every_restated_test_of_gossipsub_s_suites_has_one_here_or_a_reason() {
    let text = fs::read_to_string(root().join("conformance/requirements/gossipsub.md")).unwrap();
    let (_, restated) = text.split_once("### 8.1").unwrap();
    let (go, rust) = restated.split_once("### 8.2").unwrap();
    let table = fs::read_to_string(root().join("conformance/requirements/suites/gossipsub.toml")).unwrap();
    let table: toml::Table = toml::from_str(&table).unwrap();
    let mut ours = BTreeSet::new();
    for folder in ["protocols/gossipsub", "runtime-adapters/simulator/tests"] {
        tests(&root().join(folder), &mut ours);
    }
    for (suite, text, beginnings) in [("go", go, ["Test", "Fuzz"]), ("rust", rust, ["test_", "test_"])] {
        let table = table.get(suite).and_then(toml::Value::as_table).unwrap();
        for beginning in beginnings {
            for name in words(text, beginning) {
                // `TestTagTracer*` and `TestScore…` with several endings stand for those that begin so.
                let listed = table.keys().any(|key| key.starts_with(name));
                assert!(listed, "{suite}: {name} is not in the table");
            }
        }
        for (name, test) in table {
            if let Some(test) = test.as_str() {
                assert!(ours.contains(test), "{suite}: {name}: there is no test {test}");
            } else {
                let why = test.get("why").and_then(toml::Value::as_str).unwrap_or_default();
                assert!(why.len() > 10, "{suite}: {name} needs a test or a why");
            }
        }
    }
}
