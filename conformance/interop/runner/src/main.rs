//! Installs live peers of other implementations and runs the table: every peer, both directions, every cell.
//!
//! `interop-runner install` builds the peers into a cache (`$INTEROP_CACHE`, by default below `~/.cache`), once for each state of their sources.
//! `interop-runner run [--ours PATH] [--only PEER]` runs the table; it ends with `N passed, N failed, N skipped` and is red on any failure that
//! `known-failures.json` does not explain.

mod install;
mod process;
mod table;

use std::{path::PathBuf, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        args.iter()
            .position(|arg| arg == name)
            .and_then(|place| args.get(place.saturating_add(1)))
            .cloned()
    };
    let only = value("--only");
    let result = match args.first().map(String::as_str) {
        Some("install") => install::run(only.as_deref()).map(|()| true),
        Some("run") => {
            let ours = PathBuf::from(value("--ours").unwrap_or_else(|| "target/release/p2p".into()));
            table::run(&ours, only.as_deref())
        }
        _ => Err("usage: interop-runner install | run [--ours PATH] [--only PEER]".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("interop-runner: {error}");
            ExitCode::FAILURE
        }
    }
}
