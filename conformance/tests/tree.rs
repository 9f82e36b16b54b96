//! What holds for the tree as a whole: where its libraries come from, and what no machine may contain.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn table(path: &str) -> toml::Table {
    let text = fs::read_to_string(root().join(path)).unwrap();
    toml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every lock file that is kept; only those of other people's programs, which ours is measured and tested against, are not listed.
const LOCKS: [&str; 5] = [
    "Cargo.lock",
    "benches/build-cost/ours/Cargo.lock",
    "conformance/nostd-check/Cargo.lock",
    "runtime-adapters/bare-metal/Cargo.lock",
    "runtime-adapters/browser/Cargo.lock",
];

/// The packages of every lock file.
fn packages() -> impl Iterator<Item = toml::Value> {
    LOCKS.into_iter().flat_map(|path| {
        let packages = table(path).remove("package");
        let packages = packages.and_then(|packages| packages.as_array().cloned());
        packages.unwrap_or_else(|| panic!("{path} names no package"))
    })
}

/// One package of a lock file that is not ours.
struct Locked {
    name: String,
    version: Vec<u64>,
    source: String,
    checksum: bool,
}

/// The packages of the lock files that depend on this one.
fn dependents(name: &str) -> Vec<String> {
    let takes = |package: &toml::Value| {
        let list = package.get("dependencies").and_then(toml::Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(toml::Value::as_str)
            .any(|known| known.split(' ').next() == Some(name))
    };
    packages()
        .filter(takes)
        .map(|package| package["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The packages that lock files take from elsewhere.
fn locked() -> Vec<Locked> {
    let text = |package: &toml::Value, key: &str| {
        package
            .get(key)
            .and_then(toml::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    packages()
        .filter(|package| package.get("source").is_some())
        .map(|package| Locked {
            name: text(&package, "name"),
            version: numbers(&text(&package, "version")),
            source: text(&package, "source"),
            checksum: text(&package, "checksum").len() == 64,
        })
        .collect()
}

fn numbers(version: &str) -> Vec<u64> {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    release.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// Every source file below these folders, tests left out.
fn sources(folders: &[&str]) -> Vec<(PathBuf, String)> {
    fn visit(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            if path.is_dir() && !["tests", "target", "benches", "examples"].contains(&name.as_str()) {
                visit(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") && name != "tests.rs" {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        visit(&root().join(folder), &mut found);
    }
    assert!(!found.is_empty());
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

fn members() -> Vec<PathBuf> {
    let list = |folder: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("Cargo.toml").is_file())
    };
    let single = [
        "conformance",
        "conformance/guides",
        "conformance/laws",
        "conformance/interop/runner",
        "benches",
        "fuzz",
    ];
    let mut all: Vec<PathBuf> = list("protocols").chain(list("runtime-adapters")).collect();
    all.extend(single.iter().map(|folder| root().join(folder)));
    all
}

#[test]
fn vul_175_no_library_is_older_than_the_fix_of_a_known_advisory_or_given_up_by_its_authors() {
    let advisories = table("conformance/advisories.toml");
    for package in locked() {
        let Some(advisory) = advisories.get(&package.name) else {
            continue;
        };
        if let Some(fixed) = advisory.get("fixed").and_then(toml::Value::as_str) {
            assert!(
                package.version >= numbers(fixed),
                "{} {:?} is older than {fixed}: {advisory:?}",
                package.name,
                package.version
            );
        }
        assert!(
            advisory.get("refused").is_none(),
            "{} is not to be used: {advisory:?}",
            package.name
        );
        if let Some(only) = advisory.get("only").and_then(toml::Value::as_array) {
            let takers = dependents(&package.name);
            assert!(
                takers
                    .iter()
                    .all(|taker| only.iter().any(|known| known.as_str() == Some(taker))),
                "{} is for {only:?} only, not for {takers:?}",
                package.name
            );
        }
    }
}

#[test]
fn vul_176_every_library_comes_from_the_registry_under_a_checksum_and_is_listed_with_its_purpose() {
    let listed = table("conformance/crates.toml");
    let used = locked();
    let sources: BTreeSet<&str> = used.iter().map(|package| package.source.as_str()).collect();
    assert!(
        sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")),
        "{sources:?}"
    );
    for package in &used {
        assert!(package.checksum, "{} has no checksum", package.name);
        let purpose = listed.get(&package.name).and_then(toml::Value::as_str);
        assert!(
            purpose.is_some_and(|purpose| !purpose.is_empty()),
            "{} is new: list it in conformance/crates.toml, with what it is for",
            package.name
        );
    }
    let names: BTreeSet<&String> = used.iter().map(|package| &package.name).collect();
    let unused: BTreeSet<&String> = listed.keys().filter(|name| !names.contains(name)).collect();
    assert!(unused.is_empty(), "listed and not used: {unused:?}");
}

#[test]
fn vul_177_every_crate_of_the_family_forbids_unsafe_code() {
    let workspace = table("Cargo.toml");
    let unsafe_code = workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str();
    assert_eq!(unsafe_code, Some("forbid"));
    for member in members() {
        let manifest: toml::Table =
            toml::from_str(&fs::read_to_string(member.join("Cargo.toml")).unwrap()).unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{} does not take the lints of the workspace",
            member.display()
        );
    }
}

#[test]
fn vul_170_no_machine_has_locks_threads_or_shared_state() {
    let words = [
        "std::sync",
        "RefCell",
        "UnsafeCell",
        "Mutex",
        "RwLock",
        "OnceLock",
        "OnceCell",
        "thread_local",
        "static mut",
        "std::thread",
        "async fn",
        ".await",
    ];
    for (path, text) in sources(&["protocols"]) {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in words {
                // As a word of its own, not as the beginning of another.
                let stands = code.match_indices(word).any(|(at, _)| {
                    !code[at + word.len()..].starts_with(|next: char| next.is_alphanumeric() || next == '_')
                });
                assert!(!stands, "{}:{}: {line}", path.display(), number + 1);
            }
        }
    }
}

#[test]
fn vul_186_nothing_speaks_the_plaintext_security_protocol() {
    for (path, text) in sources(&["protocols", "runtime-adapters"]) {
        assert!(!text.contains("/plaintext/"), "{}", path.display());
    }
}
