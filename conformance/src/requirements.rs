//! Which requirement is proved by which test: names in `covers:` comments and vectors, and `vul_NNN_` test names, held against the lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// How far a requirement is met that no test proves as its list has it: by another crate, not yet, not at all, in part, or in other words than the list's.
const WORDS: [&str; 5] = ["elsewhere", "later", "not-done", "partial", "corrected"];

/// One requirement of a list.
struct Requirement {
    list: String,
    level: String,
}

pub(crate) fn check(open_only: bool) -> Result<Vec<String>, Box<dyn Error>> {
    let root = Path::new("conformance/requirements");
    let mut known: BTreeMap<String, Requirement> = BTreeMap::new();
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "md") {
            let list = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            read_list(&fs::read_to_string(&path)?, &list, &mut known);
        }
    }
    let mut proved = BTreeSet::new();
    for folder in [
        "protocols",
        "runtime-adapters",
        "conformance/tests",
        "conformance/vectors",
        "fuzz",
        "benches",
    ] {
        visit(Path::new(folder), &mut |path| collect(path, &mut proved))?;
    }
    let mut findings = Vec::new();
    let mut explained = BTreeSet::new();
    for entry in fs::read_dir(root.join("status"))? {
        let path = entry?.path();
        let table: toml::Table = toml::from_str(&fs::read_to_string(&path)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        for (id, told) in table {
            let word = |key| told.get(key).and_then(toml::Value::as_str).unwrap_or_default();
            let status = word("status");
            if !WORDS.contains(&status) || word("why").is_empty() {
                findings.push(format!(
                    "{id} needs a status of {WORDS:?} and a why, not {status:?}"
                ));
            }
            // A test that proves a part of it does not prove it.
            if status == "partial" {
                proved.remove(&id);
            }
            explained.insert(id);
        }
    }
    if open_only {
        list_open(&known, &proved, &explained);
    } else {
        report(&known, &proved, &explained);
    }
    let unknown = proved.union(&explained).filter(|id| !known.contains_key(*id));
    findings.extend(unknown.map(|id| format!("{id} is in no list")));
    Ok(findings)
}

/// Rows that begin `| ABC-123 | LEVEL |` and headings that begin `**VUL-123 `.
fn read_list(text: &str, list: &str, known: &mut BTreeMap<String, Requirement>) {
    for line in text.lines() {
        let (id, level) = match line.strip_prefix("| ") {
            Some(row) => {
                let mut cells = row.split('|').map(str::trim);
                (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
            }
            None => match line.strip_prefix("**VUL-") {
                Some(rest) => (rest.get(..3).unwrap_or_default(), "VUL"),
                None => continue,
            },
        };
        let id = if level == "VUL" {
            format!("VUL-{id}")
        } else {
            id.to_owned()
        };
        if is_id(&id) {
            known.insert(
                id,
                Requirement {
                    list: list.to_owned(),
                    level: level.to_owned(),
                },
            );
        }
    }
}

fn is_id(text: &str) -> bool {
    text.split_once('-').is_some_and(|(name, number)| {
        (2..=4).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_uppercase())
            && number.len() == 3
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn collect(path: &Path, proved: &mut BTreeSet<String>) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    for line in text.lines() {
        if let Some((_, ids)) = line.split_once("covers") {
            let words = ids.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            proved.extend(words.filter(|word| is_id(word)).map(str::to_owned));
        }
        if let Some((_, rest)) = line.split_once("fn vul_") {
            proved.extend(
                rest.get(..3)
                    .map(|number| format!("VUL-{number}"))
                    .filter(|id| is_id(id)),
            );
        }
    }
    Ok(())
}

/// What is done with a file.
type Act<'a> = &'a mut dyn FnMut(&Path) -> Result<(), Box<dyn Error>>;

fn visit(folder: &Path, act: Act<'_>) -> Result<(), Box<dyn Error>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path: PathBuf = entry?.path();
        if path.is_dir() {
            visit(&path, act)?;
        } else if path
            .extension()
            .is_some_and(|ending| ending == "rs" || ending == "json")
        {
            act(&path)?;
        }
    }
    Ok(())
}

fn report(known: &BTreeMap<String, Requirement>, proved: &BTreeSet<String>, explained: &BTreeSet<String>) {
    let lists: BTreeSet<&str> = known
        .values()
        .map(|requirement| requirement.list.as_str())
        .collect();
    println!(
        "{:20} {:>6} {:>7} {:>10} {:>5}",
        "requirements", "all", "proved", "explained", "open"
    );
    for list in lists {
        let of_list = || {
            known
                .iter()
                .filter(|(_, requirement)| requirement.list == list)
                .map(|(id, _)| id)
        };
        let (all, done) = (
            of_list().count(),
            of_list().filter(|id| proved.contains(*id)).count(),
        );
        let told = of_list()
            .filter(|id| explained.contains(*id) && !proved.contains(*id))
            .count();
        println!(
            "{list:20} {all:>6} {done:>7} {told:>10} {:>5}",
            all.saturating_sub(done).saturating_sub(told)
        );
    }
    for level in ["MUST", "HOSTILE", "VUL"] {
        let open = known.iter().filter(|(id, requirement)| {
            requirement.level.contains(level) && !proved.contains(*id) && !explained.contains(*id)
        });
        println!("{level} without a test or an explanation: {}", open.count());
    }
}

/// One line for each requirement that no test names and nothing explains.
fn list_open(known: &BTreeMap<String, Requirement>, proved: &BTreeSet<String>, explained: &BTreeSet<String>) {
    for (id, requirement) in known {
        if !proved.contains(id) && !explained.contains(id) {
            println!("{id} {} {}", requirement.level, requirement.list);
        }
    }
}
