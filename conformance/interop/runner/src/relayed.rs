//! Three processes each: a relay, a listener with a slot there, and a dialer that comes through it; ours has at least one of the three parts.

use crate::{
    Options,
    cells::{Cell, judge},
    install,
    process::{Listener, dial, now},
    report::{Checked, Report},
};
use std::{error::Error, path::PathBuf, time::Duration};

/// Implementations with circuit relay v2.
const PEERS: [&str; 4] = ["rust-libp2p", "go-libp2p", "kubo", "js"];
/// Those of them whose hole punching can be told to begin on loopback.
const PUNCHING: [&str; 2] = ["rust-libp2p", "go-libp2p"];
/// What a dialer does over the relayed connection: 100 KiB in all, which every relay carries.
const ACTIONS: [&str; 3] = ["ping:3", "identify", "perf:51200:51200"];
/// A kubo daemon has no perf.
const NO_PERF: &str = "kubo";
/// How long a dialer may take, with all its actions.
const LIMIT: Duration = Duration::from_secs(60);

/// A program that takes part.
#[derive(Clone, Debug)]
struct Part {
    name: &'static str,
    program: PathBuf,
}

/// Says whether everybody got through.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let began = now();
    let ours = Part {
        name: "ours",
        program: options.ours.clone(),
    };
    let mut report = Report::new(options.json);
    note(&mut report, [&ours; 3], "identify,ping,perf", &ACTIONS);
    note(&mut report, [&ours; 3], "identify,ping,dcutr", &["dcutr"]);
    let wanted = |peer: &&'static str| options.only.as_deref().is_none_or(|only| only == *peer);
    for peer in PEERS.into_iter().filter(wanted) {
        let theirs = Part {
            name: peer,
            program: install::program(peer)?,
        };
        for number in 1..8_u8 {
            let part = |bit: u8| if number & bit == 0 { &ours } else { &theirs };
            let parts = [part(1), part(2), part(4)];
            if number < 7 {
                note(&mut report, parts, "identify,ping,perf", &ACTIONS);
            }
            let both_ends_punch = part(2).name != part(4).name;
            if PUNCHING.contains(&peer) && both_ends_punch {
                note(&mut report, parts, "identify,ping,dcutr", &["dcutr"]);
            }
        }
    }
    Ok(report.finish(now().duration_since(began).as_secs()))
}

/// One relay, one listener, one dialer.
fn note(report: &mut Report, parts: [&Part; 3], services: &str, actions: &[&str]) {
    let [relay, listener, dialer] = parts;
    let can = |action: &&&str| !(listener.name == NO_PERF && action.starts_with("perf"));
    let actions: Vec<&str> = actions.iter().filter(can).copied().collect();
    let services = match listener.name {
        NO_PERF => "identify,ping",
        _ => services,
    };
    let name = format!(
        "{} through {} to {}: {}",
        dialer.name,
        relay.name,
        listener.name,
        actions.join(", ")
    );
    report.note(&name, check(parts, services, &actions));
}

fn check([relay, listener, dialer]: [&Part; 3], services: &str, actions: &[&str]) -> Checked {
    let failed = |who: &str| {
        let who = who.to_owned();
        move |error: Box<dyn Error>| format!("{who}: {error}")
    };
    let relay = Listener::start(&relay.program, &["--services", "identify,ping,relay"])
        .map_err(failed("the relay"))?;
    let args = ["--services", services, "--relay", &relay.says.addr];
    let listener = Listener::start(&listener.program, &args).map_err(failed("the listener"))?;
    let circuit = listener.says.circuit.as_deref();
    let circuit = circuit.ok_or("the listener announces no circuit")?;
    let lines = dial(&dialer.program, circuit, actions, &[], LIMIT)?;
    let mut left_out = Vec::new();
    for action in ["connect"].iter().chain(actions) {
        match judge(action, &lines) {
            Cell::Passed(_) => {}
            Cell::Failed(error) => return Err(format!("{action}: {error}").into()),
            Cell::Skipped(_) => left_out.push(*action),
        }
    }
    Ok(match left_out.as_slice() {
        [] => format!("{} actions", actions.len()),
        left_out => format!(
            "{} actions, of them not there: {}",
            actions.len(),
            left_out.join(", ")
        ),
    })
}
