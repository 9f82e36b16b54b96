//! Pairs `p2p` with live peers of other implementations, in both directions, as processes on this machine's loopback.
//!
//! `interop-runner install [--only PEER]` builds the peers into the cache (`INTEROP_CACHE`, else `~/.cache/libp2p-proto-interop`); what has not changed since is left.
//!
//! `interop-runner kad-network [--ours PATH] [--json]` makes one private network of a node of each implementation and ours: what a further node of any of them
//! stores at one place, a third of every other finds from another.
//!
//! `interop-runner kubo-network [--ours PATH] [--json]` starts six kubo daemons and lets each side find what the other provides and names.
//!
//! `interop-runner mdns-link [--ours PATH] [--only PEER] [--runtime R] [--json]` makes a link in a network namespace and lets ours and each implementation find each other there.
//!
//! `interop-runner mixed-mesh [--ours PATH] [--json]` lets nodes of all implementations join one topic, and counts what each hears.
//!
//! `interop-runner relayed [--ours PATH] [--only PEER] [--json]` lets dialers reach listeners through relays, ours in every part, and punches on loopback.
//!
//! `interop-runner run [--ours PATH] [--only PEER] [--runtime R] [--json]` runs every cell and prints the table, or one JSON object per line. It ends with
//! `N passed, N failed, N skipped`, and is red on any failure that `known-failures.json` does not explain and on any entry of that file that is
//! not true any more. With `--runtime R` ours runs on that runtime, and only the actions are run: which keys there are is the same on all of them.

mod cells;
mod install;
mod known;
mod link;
mod mesh;
mod network;
mod private;
mod process;
mod relayed;
mod report;
mod run;
mod table;

use std::{path::PathBuf, process::ExitCode};

const USAGE: &str = "usage: interop-runner install [--only PEER] | run [--ours PATH] [--only PEER] [--runtime R] [--json] | mdns-link [--ours PATH] [--only PEER] [--runtime R] [--json] | kad-network | kubo-network | mixed-mesh | relayed [--ours PATH] [--json]";
const VERBS: [&str; 8] = [
    "install",
    "run",
    "kad-network",
    "kubo-network",
    "mdns-link",
    link::INSIDE,
    "mixed-mesh",
    "relayed",
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    verb: String,
    ours: PathBuf,
    only: Option<String>,
    runtime: Option<String>,
    json: bool,
}

fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, String> {
    let mut args = args.into_iter();
    let mut options = Options {
        verb: args
            .next()
            .filter(|verb| VERBS.contains(&verb.as_str()))
            .ok_or(USAGE)?,
        ours: "target/release/p2p".into(),
        only: None,
        runtime: None,
        json: false,
    };
    while let Some(name) = args.next() {
        let mut value = || {
            args.next()
                .ok_or_else(|| format!("{name} needs a value\n{USAGE}"))
        };
        match name.as_str() {
            "--ours" => options.ours = value()?.into(),
            "--only" => options.only = Some(value()?),
            "--runtime" => options.runtime = Some(value()?),
            "--json" => options.json = true,
            _ => return Err(format!("unknown option {name}\n{USAGE}")),
        }
    }
    if let Some(only) = options.only.as_deref() {
        if !install::peers().any(|peer| peer == only) {
            let all: Vec<_> = install::peers().collect();
            return Err(format!("no peer {only}; there are {}", all.join(", ")));
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("interop-runner: {error}");
            return ExitCode::from(64);
        }
    };
    let result = match options.verb.as_str() {
        "install" => install::run(options.only.as_deref()).map(|()| true),
        "kad-network" => private::run(&options),
        "kubo-network" => network::run(&options),
        "mdns-link" => link::run(&options),
        link::INSIDE => link::run_inside(&options),
        "mixed-mesh" => mesh::run(&options),
        "relayed" => relayed::run(&options),
        _ => run::run(&options),
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

#[cfg(test)]
mod tests {
    use super::{Options, parse};

    fn of(text: &str) -> Result<Options, String> {
        parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_command_line_is_read_whole() {
        let options = of("run --ours /tmp/p2p --only kubo --runtime smol --json").unwrap();
        assert_eq!(options.ours.to_str(), Some("/tmp/p2p"));
        assert_eq!(options.only.as_deref(), Some("kubo"));
        assert_eq!(options.runtime.as_deref(), Some("smol"));
        assert!(options.json);
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "usage"),
            ("dance", "usage"),
            ("run --ours", "--ours needs a value"),
            ("run --loud", "unknown option --loud"),
            ("run --only nim", "no peer nim"),
        ] {
            let error = of(text).unwrap_err();
            assert!(error.contains(reason), "{text:?}: {error}");
        }
    }
}
