//! Building peers into the cache.

use std::{
    error::Error,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// A folder under `conformance/interop` and the peers that its `install.sh` makes.
const SOURCES: [(&str, &[&str]); 3] = [
    ("rust", &["rust-libp2p", "litep2p"]),
    ("js", &["js"]),
    ("go", &["go-libp2p", "kubo"]),
];

/// Where the peers are.
pub(crate) fn cache() -> Result<PathBuf, Box<dyn Error>> {
    if let Some(path) = std::env::var_os("INTEROP_CACHE") {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").ok_or("neither INTEROP_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/libp2p-proto-interop"))
}

/// The peers that are installed, with their programs.
pub(crate) fn installed() -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let root = cache()?.join("peers");
    let names = SOURCES.iter().flat_map(|(_, names)| names.iter());
    Ok(names
        .map(|name| ((*name).to_owned(), root.join(name).join("peer")))
        .filter(|(_, path)| path.exists())
        .collect())
}

pub(crate) fn run(only: Option<&str>) -> Result<(), Box<dyn Error>> {
    let root = cache()?.join("peers");
    fs::create_dir_all(&root)?;
    for (folder, names) in SOURCES {
        let source = Path::new("conformance/interop").join(folder);
        if !source.join("install.sh").exists()
            || only.is_some_and(|only| only != folder && !names.contains(&only))
        {
            continue;
        }
        let dest = if names.len() > 1 {
            root.clone()
        } else {
            root.join(folder)
        };
        let stamp = root.join(format!("{folder}.stamp"));
        let hash = hash_of(&source)?;
        let ready = names.iter().all(|name| root.join(name).join("peer").exists());
        if ready && fs::read_to_string(&stamp).is_ok_and(|known| known == hash) {
            println!("{folder}: up to date");
            continue;
        }
        println!("{folder}: building …");
        let mut child = Command::new("bash")
            .arg(source.join("install.sh"))
            .arg(&dest)
            .spawn()?;
        let status = crate::process::wait(&mut child, Duration::from_secs(2400))?;
        if !status {
            return Err(format!("{folder}: install.sh failed").into());
        }
        fs::write(&stamp, hash)?;
        println!("{folder}: built");
    }
    Ok(())
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
