//! Every corpus, replayed and mutated, on stable.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_fuzz::{TARGETS, Target, mutate::Mutator};
use std::{
    collections::BTreeSet,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// Mutations of each target when nothing else is asked for.
const RUNS: u64 = 2000;

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = home().join("corpus").join(target.name);
    let Ok(entries) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect()
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        })
        .collect()
}

/// Runs one input and, if it fails, keeps it where the message says.
fn run(target: &Target, what: &str, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_ok() {
        return;
    }
    let failed = env::temp_dir().join(format!("{}-failed", target.name));
    fs::write(&failed, input).unwrap();
    panic!(
        "{} fails on {what}; the input is kept in {}",
        target.name,
        failed.display()
    );
}

#[test]
fn every_target_holds_on_its_corpus_and_on_seeded_mutations_of_it() {
    let runs = number("FUZZ_RUNS", RUNS);
    let seed = number("FUZZ_SEED", 0);
    let wanted = env::var("FUZZ_TARGET").ok();
    for target in TARGETS {
        if wanted.as_deref().is_some_and(|wanted| wanted != target.name) {
            continue;
        }
        let corpus = corpus(target);
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        run(target, "the empty input", &[]);
        for (name, input) in &corpus {
            run(target, name, input);
        }
        let inputs: Vec<_> = corpus.into_iter().map(|(_, input)| input).collect();
        let mut mutator = Mutator::new(&inputs, target.name, seed);
        for turn in 0..runs {
            run(
                target,
                &format!("mutation {turn} of seed {seed}"),
                &mutator.next_input(),
            );
        }
        println!(
            "{}: {} inputs replayed, {runs} mutations",
            target.name,
            inputs.len()
        );
    }
}

#[test]
fn every_target_has_a_corpus_and_a_libfuzzer_program_and_there_is_none_without_a_target() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets, names(&home().join("corpus")));
    assert_eq!(targets, names(&home().join("libfuzzer/fuzz_targets")));
}
