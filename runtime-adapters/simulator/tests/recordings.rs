//! Hosts of a simulation are recorded, and repeated without it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_recorder::Replay;
use libp2p_proto_simulator::{Plan, Recording, application_of, rebuild, repeat};
use std::{
    collections::BTreeMap,
    io::{self, Cursor, Write},
    sync::{Arc, Mutex},
};

/// A file in memory.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(data)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Tapes = Arc<Mutex<BTreeMap<(usize, u32), Shared>>>;

const SCENARIO: &str = r#"
hosts = 4
level = "LEVEL"
friends = 2
run = "90s"
reuse_port = true

[[fault]]
kind = "crash"
at = "30s"
during = "10s"
hosts = 1

[[fault]]
kind = "black-hole"
at = "50s"
during = "20s"
from = 2
to = "all"

[goal]
connected = 1.0
within = "2m"
"#;

/// Runs a scenario with every life of every host recorded.
fn run(text: &str) -> (libp2p_proto_simulator::Report, Tapes) {
    let tapes = Tapes::default();
    let (all, words) = (tapes.clone(), application_of(text));
    let report = Plan::parse(text).unwrap().run_recorded(
        7,
        |_| {},
        move |place, boot| {
            let tape = Shared::default();
            all.lock().unwrap().insert((place, boot), tape.clone());
            Some(Recording::new(&words, tape, 64 << 20))
        },
    );
    (report.unwrap(), tapes)
}

#[test]
fn a_recorded_host_does_the_same_again_without_its_network_and_recording_changes_nothing() {
    const SERVICES: [&str; 2] = [
        "",
        "services = [\"ping\", \"identify\", \"kad\", \"gossipsub\"]\n",
    ];
    for (level, services) in ["full", "swarm"]
        .into_iter()
        .flat_map(|level| SERVICES.map(|some| (level, some)))
    {
        let mut text = format!("{services}{}", SCENARIO.replace("LEVEL", level));
        if !services.is_empty() {
            text.push_str("[traffic]\nlookups = 30\nmessages = 30\nfrom = \"5s\"\n");
        }
        let (report, tapes) = run(&text);
        assert_eq!(report.violation, None, "{level}");
        let plain = Plan::parse(&text).unwrap().run(7, |_| {}).unwrap();
        assert_eq!(report.hash, plain.hash, "{level}");
        let tapes = tapes.lock().unwrap();
        // Four lives, and the one after the crash.
        assert_eq!(tapes.len(), 5, "{level}");
        for (life, tape) in tapes.iter() {
            let recorded = tape.0.lock().unwrap().clone();
            let mut replay = Replay::open(Cursor::new(&recorded)).unwrap();
            let (mut node, mut swarm) = rebuild(&replay).unwrap();
            let (_, whole) = repeat(&mut replay, &mut node, &mut swarm)
                .unwrap_or_else(|error| panic!("{level} {life:?}: {error}"));
            assert!(whole && replay.unseen().is_none(), "{level} {life:?}");
            assert!(replay.outputs() > 20, "{level} {life:?}: {}", replay.outputs());

            // One byte of what a peer said differs, and so does what comes out.
            let text = String::from_utf8(recorded).unwrap();
            let at = text.find(" established ").unwrap();
            let changed = format!(
                "{} disconnected{}",
                &text[..at],
                &text[at + text[at..].find('\n').unwrap()..]
            );
            let mut replay = Replay::open(Cursor::new(changed.as_bytes())).unwrap();
            let (mut node, mut swarm) = rebuild(&replay).unwrap();
            assert!(
                repeat(&mut replay, &mut node, &mut swarm).is_err(),
                "{level} {life:?}"
            );
        }
    }
}

#[test]
fn somebody_elses_recording_is_none_of_a_simulated_host() {
    let (_, tapes) = run("hosts = 1\nrun = \"1s\"");
    let foreign = tapes.lock().unwrap()[&(0, 0)].0.lock().unwrap().clone();
    let foreign = String::from_utf8(foreign)
        .unwrap()
        .replace("libp2p-proto-simulator", "somebody-else");
    let replay = Replay::open(Cursor::new(foreign.as_bytes())).unwrap();
    assert!(rebuild(&replay).is_err());
}
