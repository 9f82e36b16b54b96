//! The run: every peer, both directions, every cell.

use crate::{
    Options,
    cells::{Cell, Direction, Pair, Results, is_action},
    install,
    known::KnownFailures,
    process::now,
    table::{Row, Table},
};
use serde_json::json;
use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    thread,
};

/// Says whether nothing is red.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let began = now();
    let (ours, json) = (options.ours.as_path(), options.json);
    let (only, runtime) = (options.only.as_deref(), options.runtime.as_deref());
    if !ours.exists() {
        return Err(format!("{} is not built", ours.display()).into());
    }
    let mut known = KnownFailures::parse(&fs::read_to_string("conformance/interop/known-failures.json")?)?;
    let peers: Vec<(&str, PathBuf)> = install::peers()
        .filter(|peer| only.is_none_or(|only| only == *peer))
        .map(|peer| Ok((peer, install::program(peer)?)))
        .collect::<Result<_, Box<dyn Error>>>()?;
    let mut table = Table::default();
    let mut add = |table: &mut Table, peer: &str, direction, results: Results| {
        for (cell, ended) in results.cells {
            let outcome = known.judge(&Row::name(peer, direction, &cell), ended);
            let row = Row {
                peer: peer.to_owned(),
                direction,
                cell,
                outcome,
            };
            if json {
                println!("{}", row.json());
            }
            table.rows.push(row);
        }
    };
    for (peer, program) in &peers {
        let began = now();
        let mut version = None;
        for direction in Direction::ALL {
            let pair = Pair {
                direction,
                ours,
                runtime,
                theirs: program,
                kad: kad_of(peer),
            };
            if !program.exists() {
                add(&mut table, peer, direction, missing());
                continue;
            }
            let actions = pair.actions();
            version = version.or(actions.version.clone());
            add(&mut table, peer, direction, actions);
            add(&mut table, peer, direction, pair.kad());
            add(&mut table, peer, direction, pair.websocket());
            // Which keys there are, and how long a connection rests, is not the runtime's matter.
            if runtime.is_none() {
                add(&mut table, peer, direction, pair.keys());
                add(&mut table, peer, direction, pair.on_request());
                for protocol in pubsub_of(peer) {
                    add(&mut table, peer, direction, pair.pubsub(protocol));
                }
            }
        }
        let version = version.unwrap_or_else(|| "version unknown".to_owned());
        table.peers.push(((*peer).to_owned(), version));
        eprintln!("{peer}: {} s", now().duration_since(began).as_secs());
    }
    if runtime.is_none() {
        // Resting costs nothing, so all rest at once.
        for (peer, direction, results) in idle(ours, &peers) {
            add(&mut table, peer, direction, results);
        }
    }
    let stale = peers.iter().flat_map(|(peer, _)| known.stale(peer));
    table.stale = stale
        .filter(|cell| runtime.is_none() || is_action(cell))
        .collect();
    let totals = table.totals();
    let seconds = now().duration_since(began).as_secs();
    if json {
        let all = json!({
            "passed": totals.passed, "failed": totals.failed, "known": totals.known, "skipped": totals.skipped,
            "stale": table.stale, "runtime": runtime, "seconds": seconds,
        });
        println!("{all}");
    } else {
        println!("\n{table}\n{seconds} s");
        println!("{totals}");
    }
    Ok(totals.failed == 0)
}

/// The one protocol id that a peer's Kademlia can have, if it can't have any: a kubo daemon's is fixed.
fn kad_of(peer: &str) -> Option<&'static str> {
    (peer == "kubo").then_some("/ipfs/lan/kad/1.0.0")
}

/// The protocols of publishing that a peer can be told to keep to, by `--pubsub`, which is not in the contract.
fn pubsub_of(peer: &str) -> &'static [&'static str] {
    match peer {
        "rust-libp2p" => &["/meshsub/1.0.0", "/meshsub/1.1.0"],
        "py-libp2p" => &[
            "/floodsub/1.0.0",
            "/meshsub/1.0.0",
            "/meshsub/1.1.0",
            "/meshsub/1.2.0",
        ],
        _ => &[],
    }
}

/// What stands in the place of a peer that was not installed.
fn missing() -> Results {
    let cell = Cell::Failed("not installed: run `interop-runner install`".to_owned());
    Results {
        cells: vec![("connect".to_owned(), cell)],
        version: None,
    }
}

fn idle<'a>(ours: &Path, peers: &[(&'a str, PathBuf)]) -> Vec<(&'a str, Direction, Results)> {
    thread::scope(|scope| {
        let mut rests = Vec::new();
        for (peer, program) in peers.iter().filter(|(_, program)| program.exists()) {
            for direction in Direction::ALL {
                let pair = Pair {
                    direction,
                    ours,
                    runtime: None,
                    theirs: program,
                    kad: None,
                };
                rests.push((*peer, direction, scope.spawn(move || pair.idle())));
            }
        }
        let failed = || Results {
            cells: vec![(
                "idle for 35 s".to_owned(),
                Cell::Failed("the run panicked".to_owned()),
            )],
            version: None,
        };
        rests
            .into_iter()
            .map(|(peer, direction, rest)| (peer, direction, rest.join().unwrap_or_else(|_| failed())))
            .collect()
    })
}
