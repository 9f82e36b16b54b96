//! Building peers into the cache.

use crate::process::{Process, now};
use std::{
    error::Error,
    fmt::Write as _,
    fs::{self, File},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

/// A folder under `conformance/interop` and the peers that its `install.sh` makes. The one that takes longest is the first to start.
const SOURCES: [(&str, &[&str]); 4] = [
    ("rust", &["rust-libp2p", "litep2p"]),
    ("go", &["go-libp2p", "kubo"]),
    ("js", &["js"]),
    ("py", &["py-libp2p"]),
];

/// How long one folder may take, in a cold cache on a busy machine.
const LIMIT: Duration = Duration::from_secs(2400);
/// How many lines of a failed build are shown.
const TAIL: usize = 25;

/// The names of all peers.
pub(crate) fn peers() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().flat_map(|(_, names)| names.iter().copied())
}

/// Where the peers are.
fn root() -> Result<PathBuf, Box<dyn Error>> {
    let cache = if let Some(path) = std::env::var_os("INTEROP_CACHE") {
        PathBuf::from(path)
    } else {
        let home = std::env::var_os("HOME").ok_or("neither INTEROP_CACHE nor HOME is set")?;
        PathBuf::from(home).join(".cache/libp2p-proto-interop")
    };
    let root = cache.join("peers");
    fs::create_dir_all(&root)?;
    Ok(root)
}

/// The program of a peer, whether it is there or not.
pub(crate) fn program(peer: &str) -> Result<PathBuf, Box<dyn Error>> {
    Ok(root()?.join(peer).join("peer"))
}

/// Builds what is not up to date, the folders side by side; every failure is told with its cause.
pub(crate) fn run(only: Option<&str>) -> Result<(), Box<dyn Error>> {
    let root = root()?;
    let wanted = SOURCES
        .iter()
        .filter(|(folder, names)| only.is_none_or(|only| only == *folder || names.contains(&only)));
    let failures: Vec<String> = thread::scope(|scope| {
        let builds: Vec<_> = wanted
            .map(|(folder, names)| {
                let root = &root;
                (
                    folder,
                    scope.spawn(move || build(root, folder, names).map_err(|error| error.to_string())),
                )
            })
            .collect();
        builds
            .into_iter()
            .filter_map(|(folder, build)| match build.join() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("{folder}: {error}")),
                Err(_) => Some(format!("{folder}: the build panicked")),
            })
            .collect()
    });
    if failures.is_empty() {
        return Ok(());
    }
    Err(failures.join("\n").into())
}

fn build(root: &Path, folder: &str, names: &[&str]) -> Result<(), Box<dyn Error>> {
    let source = Path::new("conformance/interop").join(folder);
    let stamp = root.join(format!("{folder}.stamp"));
    let hash = hash_of(&source)?;
    let ready = names.iter().all(|name| root.join(name).join("peer").exists());
    if ready && fs::read_to_string(&stamp).is_ok_and(|known| known == hash) {
        println!("{folder}: up to date");
        return Ok(());
    }
    // A build that fails half-way leaves nothing that looks whole.
    if stamp.exists() {
        fs::remove_file(&stamp)?;
    }
    println!("{folder}: building …");
    let began = now();
    let path = root.join(format!("{folder}.log"));
    let log = File::create(&path)?;
    let mut command = Command::new("bash");
    command
        .arg(source.join("install.sh"))
        .arg(match names {
            [name] => root.join(name),
            _ => root.to_path_buf(),
        })
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    if !Process::start(&mut command)?.wait(LIMIT)? {
        return Err(format!("install.sh failed:\n{}", tail(&fs::read_to_string(&path)?)).into());
    }
    fs::write(&stamp, hash)?;
    println!("{folder}: built in {} s", now().duration_since(began).as_secs());
    Ok(())
}

/// The last lines of a log, indented.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let mut text = String::new();
    for line in lines.iter().skip(lines.len().saturating_sub(TAIL)) {
        // Writing to a string doesn't fail.
        let _ = writeln!(text, "    {line}");
    }
    text
}

/// A hash of every file that git tracks in a folder.
fn hash_of(folder: &Path) -> Result<String, Box<dyn Error>> {
    let listing = Command::new("git").arg("ls-files").arg(folder).output()?;
    let mut hasher = DefaultHasher::new();
    for file in String::from_utf8_lossy(&listing.stdout).lines() {
        file.hash(&mut hasher);
        fs::read(file)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::{TAIL, build, tail};
    use std::{fs, path::PathBuf};

    #[test]
    fn of_a_long_log_the_end_is_shown() {
        let log = (0..100).map(|n| format!("line {n}")).collect::<Vec<_>>().join(
            "
",
        );
        let shown = tail(&log);
        assert_eq!(shown.lines().count(), TAIL);
        assert!(shown.ends_with("    line 99\n"));
        assert_eq!(tail("only"), "    only\n");
    }

    #[test]
    fn a_failed_install_names_its_cause_and_leaves_no_stamp() {
        let root: PathBuf = std::env::temp_dir().join(format!("interop-runner-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("nowhere.stamp"), "old").unwrap();
        // There is no such folder, so bash finds no script.
        let error = build(&root, "nowhere", &["nobody"]).unwrap_err().to_string();
        assert!(error.starts_with("install.sh failed:"), "{error}");
        assert!(error.contains("nowhere/install.sh"), "{error}");
        assert!(!root.join("nowhere.stamp").exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
