//! One mesh of nodes of different implementations: every message that any of them publishes reaches each exactly once.
//!
//! Messages of one author are published at a distance: a kubo daemon ignores a message that a later one of the same author has overtaken
//! (`BasicSeqnoValidator` of go-libp2p-pubsub), and two at once may take two ways.

use crate::{
    Options, install,
    process::{Listener, dial, now},
    report::{Checked, Report},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    error::Error,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

const TOPIC: &str = "mesh";
/// Nodes of ours among them.
const OURS: usize = 2;
/// Fewest nodes that are a mesh.
const FEWEST: usize = 6;
/// To how many of those before it each node connects.
const NEIGHBOURS: usize = 3;
/// What each implementation publishes: messages of these sizes, in bytes, by which they differ.
const SIZES: [usize; 3] = [4096, 4097, 60_000];
/// The distance between them.
const DISTANCE: &str = "wait:1";
const DIAL_LIMIT: Duration = Duration::from_secs(60);
/// How long a message may take to everybody, by way of what is told once a heartbeat.
const SPREAD: Duration = Duration::from_secs(20);
/// How long a second copy is waited for.
const AFTER: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(100);

/// How often a node heard each message.
type Heard = BTreeMap<String, usize>;

/// A node of the mesh, and how often it heard each message.
struct Member {
    name: String,
    program: PathBuf,
    listener: Listener,
    heard: Heard,
}

impl Member {
    fn listen(&mut self) {
        for event in self.listener.news() {
            if event.get("event").and_then(Value::as_str) != Some("gossip") {
                continue;
            }
            // The same body of two authors would be two messages.
            let bytes = event.get("bytes").and_then(Value::as_u64).unwrap_or_default();
            let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or_default();
            let count = self
                .heard
                .entry(format!("{bytes} {} {}", text("from"), text("data")))
                .or_default();
            *count = count.saturating_add(1);
        }
    }
}

/// Says whether everything arrived.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let began = now();
    let mut programs = vec![("ours".to_owned(), options.ours.clone()); OURS];
    for peer in install::peers() {
        programs.push((peer.to_owned(), install::program(peer)?));
    }
    let mut report = Report::new(options.json);
    let mut members: Vec<Member> = Vec::new();
    for (name, program) in programs {
        match join(&program, &members) {
            Ok(Some(listener)) => members.push(Member {
                name,
                program,
                listener,
                heard: Heard::new(),
            }),
            Ok(None) => {}
            Err(error) => report.note(&format!("{name} joins"), Err(error)),
        }
    }
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    let enough = if members.len() < FEWEST {
        Err(format!("{} nodes: {}", members.len(), names.join(", ")).into())
    } else {
        Ok(names.join(", "))
    };
    report.note(&format!("at least {FEWEST} nodes are a mesh"), enough);
    publish_all(&mut report, &mut members);
    Ok(report.finish(now().duration_since(began).as_secs()))
}

/// Starts a listener that is connected to some of those before it; none for one that has no pubsub.
fn join(program: &Path, members: &[Member]) -> Result<Option<Listener>, Box<dyn Error>> {
    let mut args = vec!["--services", "identify,push,ping,gossip", "--topic", TOPIC];
    for member in members.iter().rev().take(NEIGHBOURS) {
        args.extend(["--peer", &member.listener.says.addr]);
    }
    match Listener::start(program, &args) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.to_string().starts_with("unsupported: service") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets a node of each implementation publish, one after the other, and counts what is heard.
fn publish_all(report: &mut Report, members: &mut [Member]) {
    let actions = SIZES.map(|size| format!("gossip:{TOPIC}:1:{size}"));
    let spaced: Vec<_> = actions
        .iter()
        .flat_map(|action| [action.as_str(), DISTANCE])
        .collect();
    for place in 1..members.len() {
        let Some(member) = members.get(place) else {
            return;
        };
        let name = member.name.clone();
        // The publisher is one more node, which knows only the one after it: all else goes through the mesh.
        let next = members.get(place.saturating_add(1)).or(members.first());
        let Some(at) = next.map(|next| next.listener.says.addr.clone()) else {
            return;
        };
        let published =
            dial(&member.program, &at, &spaced, &[], DIAL_LIMIT).and_then(|lines| acknowledged(&lines));
        let checked = published.and_then(|()| arrived(members));
        report.note(&format!("what {name} publishes reaches everybody once"), checked);
    }
}

/// Whether everything that the publisher was asked to do was done.
fn acknowledged(lines: &[Value]) -> Result<(), Box<dyn Error>> {
    let failed = |line: &&Value| line.get("ok").and_then(Value::as_bool) != Some(true);
    match lines.iter().find(failed) {
        Some(line) => Err(line.to_string().into()),
        None if lines.is_empty() => Err("the publisher printed no result".into()),
        None => Ok(()),
    }
}

/// Waits until everybody has heard all messages, then for second copies, and forgets what was heard.
fn arrived(members: &mut [Member]) -> Checked {
    let began = now();
    while now().duration_since(began) < SPREAD {
        members.iter_mut().for_each(Member::listen);
        let all = all_heard(members);
        let whole = |member: &Member| all.iter().all(|body| member.heard.contains_key(body));
        if all.len() >= SIZES.len() && members.iter().all(whole) {
            break;
        }
        thread::sleep(LOOK);
    }
    thread::sleep(AFTER);
    members.iter_mut().for_each(Member::listen);
    let nodes: Vec<_> = members
        .iter()
        .map(|member| (member.name.as_str(), &member.heard))
        .collect();
    let checked = judge(&nodes);
    for member in members.iter_mut() {
        member.heard.clear();
    }
    checked
}

fn all_heard(members: &[Member]) -> Vec<String> {
    everything(members.iter().map(|member| &member.heard))
}

fn everything<'a>(heard: impl Iterator<Item = &'a Heard>) -> Vec<String> {
    let mut all: Vec<_> = heard.flat_map(|heard| heard.keys().cloned()).collect();
    all.sort();
    all.dedup();
    all
}

/// Whether each node heard once whatever any of them heard.
fn judge(nodes: &[(&str, &Heard)]) -> Checked {
    let all = everything(nodes.iter().map(|(_, heard)| *heard));
    if all.len() < SIZES.len() {
        return Err(format!("{} messages were heard", all.len()).into());
    }
    for (name, heard) in nodes {
        for body in &all {
            let times = heard.get(body).copied().unwrap_or_default();
            if times != 1 {
                let body: String = body.chars().take(80).collect();
                return Err(format!("{name} heard {body:?} {times} times").into());
            }
        }
    }
    Ok(format!("{} messages, {} nodes", all.len(), nodes.len()))
}

#[cfg(test)]
mod tests {
    use super::{Heard, judge};

    fn heard(times: &[(&str, usize)]) -> Heard {
        times
            .iter()
            .map(|(body, times)| ((*body).to_owned(), *times))
            .collect()
    }

    #[test]
    fn a_mesh_is_right_only_if_each_node_heard_each_message_once() {
        let once = heard(&[("a", 1), ("b", 1), ("c", 1)]);
        let twice = heard(&[("a", 1), ("b", 2), ("c", 1)]);
        let less = heard(&[("a", 1), ("b", 1)]);
        let other = heard(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)]);
        assert!(judge(&[("x", &once), ("y", &once)]).is_ok());
        for wrong in [&twice, &less, &other] {
            assert!(judge(&[("x", &once), ("y", wrong)]).is_err(), "{wrong:?}");
        }
        // Fewer than were published, though all agree.
        assert!(judge(&[("x", &less), ("y", &less)]).is_err());
    }
}
