//! Ours and another implementation, in turns, in the same run.

use crate::Failure;
use serde_json::{Value, json};
use std::process::Command;

/// One row of the table.
struct Row {
    what: &'static str,
    unit: &'static str,
    /// Our options and the command that both programs know.
    ours: &'static [&'static str],
    command: &'static [&'static str],
    quick: &'static [&'static str],
    /// Where the figure stands in the result.
    path: &'static str,
    better: Better,
    /// What ours divided by the peer's is to reach.
    goal: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    More,
    Less,
}

const ROWS: &[Row] = &[
    Row {
        what: "Noise + yamux, one stream, in memory",
        unit: "MiB per CPU second of both ends",
        ours: &[],
        command: &["bulk-memory", "512"],
        quick: &["bulk-memory", "64"],
        path: "/mibPerCpuSecondBothEnds",
        better: Better::More,
        goal: 1.5,
    },
    Row {
        what: "Noise XX handshake",
        unit: "CPU µs, both ends",
        ours: &[],
        command: &["handshake", "1000"],
        quick: &["handshake", "100"],
        path: "/cpuMicrosBothEnds",
        better: Better::Less,
        goal: 1.0,
    },
    Row {
        what: "perf upload over TCP, mio",
        unit: "MiB per CPU second of both ends",
        ours: &[],
        command: &["perf-tcp", "512"],
        quick: &["perf-tcp", "32"],
        path: "/up/mibPerCpuSecondBothEnds",
        better: Better::More,
        goal: 1.3,
    },
    Row {
        what: "perf download over TCP, mio",
        unit: "MiB per CPU second of both ends",
        ours: &[],
        command: &["perf-tcp", "512"],
        quick: &["perf-tcp", "32"],
        path: "/down/mibPerCpuSecondBothEnds",
        better: Better::More,
        goal: 1.3,
    },
    Row {
        what: "perf upload over TCP, tokio listener",
        unit: "MiB per CPU second of both ends",
        ours: &["--tokio"],
        command: &["perf-tcp", "512"],
        quick: &["perf-tcp", "32"],
        path: "/up/mibPerCpuSecondBothEnds",
        better: Better::More,
        goal: 1.3,
    },
    Row {
        what: "connection until identified, 32 at a time",
        unit: "CPU µs, both ends",
        ours: &[],
        command: &["connections", "1000", "32"],
        quick: &["connections", "100", "32"],
        path: "/cpuMicrosPerConnectionBothEnds",
        better: Better::Less,
        goal: 0.5,
    },
    Row {
        what: "stream: open, 32-byte echo, close; alone, mio",
        unit: "CPU µs, both ends",
        ours: &[],
        command: &["streams", "4000"],
        quick: &["streams", "200"],
        path: "/cpuMicrosPerStreamBothEnds",
        better: Better::Less,
        goal: 0.25,
    },
    Row {
        what: "the same, 64 at a time, mio",
        unit: "CPU µs, both ends",
        ours: &[],
        command: &["streams", "20000", "64"],
        quick: &["streams", "1000", "64"],
        path: "/cpuMicrosPerStreamBothEnds",
        better: Better::Less,
        goal: 1.0 / 3.0,
    },
    Row {
        what: "the same, alone, tokio",
        unit: "CPU µs, both ends",
        ours: &["--tokio"],
        command: &["streams", "4000"],
        quick: &["streams", "200"],
        path: "/cpuMicrosPerStreamBothEnds",
        better: Better::Less,
        goal: 0.25,
    },
    Row {
        what: "the same, 64 at a time, tokio",
        unit: "CPU µs, both ends",
        ours: &["--tokio"],
        command: &["streams", "20000", "64"],
        quick: &["streams", "1000", "64"],
        path: "/cpuMicrosPerStreamBothEnds",
        better: Better::Less,
        goal: 1.0 / 3.0,
    },
    Row {
        what: "GossipSub, 20 nodes, signed 1 KiB",
        unit: "first deliveries per CPU second of all nodes",
        ours: &[],
        command: &["gossip", "20", "400"],
        quick: &["gossip", "20", "40"],
        path: "/deliveriesPerCpuSecond",
        better: Better::More,
        goal: 4.0,
    },
    Row {
        what: "the same: memory after the messages",
        unit: "KiB of each node",
        ours: &[],
        command: &["gossip", "20", "400"],
        quick: &["gossip", "20", "40"],
        path: "/kibPerNode",
        better: Better::Less,
        goal: 0.25,
    },
    Row {
        what: "Kademlia, 100 nodes: nearest peers of a key",
        unit: "lookups per CPU second of all nodes",
        ours: &[],
        command: &["kad", "100", "1000"],
        quick: &["kad", "40", "80"],
        path: "/lookupsPerCpuSecond",
        better: Better::More,
        goal: 5.0,
    },
    Row {
        what: "the same: memory after the lookups",
        unit: "KiB of each node",
        ours: &[],
        command: &["kad", "100", "1000"],
        quick: &["kad", "40", "80"],
        path: "/kibPerNode",
        better: Better::Less,
        goal: 0.2,
    },
    Row {
        what: "memory of a peer that subscribes to one topic",
        unit: "KiB of the server",
        ours: &[],
        command: &["gossip-idle", "1000"],
        quick: &["gossip-idle", "100"],
        path: "/kibPerConnection",
        better: Better::Less,
        goal: 0.25,
    },
    Row {
        what: "memory of an idle connection, mio",
        unit: "KiB of the server",
        ours: &[],
        command: &["idle", "5000"],
        quick: &["idle", "100"],
        path: "/kibPerConnection",
        better: Better::Less,
        goal: 8.0 / 37.0,
    },
    Row {
        what: "memory of an idle connection, tokio",
        unit: "KiB of the server",
        ours: &["--tokio"],
        command: &["idle", "5000"],
        quick: &["idle", "100"],
        path: "/kibPerConnection",
        better: Better::Less,
        goal: 12.0 / 37.0,
    },
];

/// Runs each row in turns and prints the table: the medians of both, and ours divided by theirs.
pub(crate) fn run(bench: &str, options: &[&str]) -> Result<(), Failure> {
    let quick = options.contains(&"--quick");
    let as_json = options.contains(&"--json");
    let rounds = if quick { 1 } else { 3 };
    let ours = std::env::current_exe()?;
    let ours = ours.to_str().ok_or("a path that is no text")?;
    if !as_json {
        println!(
            "{:<50} {:>10} {:>10} {:>7} {:>7}",
            "", "ours", "theirs", "ratio", "goal"
        );
    }
    let mut missed = 0;
    for row in ROWS {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        let command = if quick { row.quick } else { row.command };
        for _ in 0..rounds {
            mine.push(measure(ours, row.ours, command, row.path)?);
            theirs.push(measure(bench, &[], command, row.path)?);
        }
        let (mine, theirs) = (median(mine), median(theirs));
        let ratio = mine / theirs;
        let met = match row.better {
            Better::More => ratio >= row.goal,
            Better::Less => ratio <= row.goal,
        };
        missed += usize::from(!met);
        if as_json {
            println!(
                "{}",
                json!({
                    "what": row.what, "unit": row.unit, "ours": mine, "theirs": theirs, "ratio": ratio,
                    "goal": row.goal, "met": met,
                })
            );
        } else {
            let sign = match row.better {
                Better::More => '≥',
                Better::Less => '≤',
            };
            let mark = if met { "" } else { "  missed" };
            println!(
                "{:<50} {mine:>10.1} {theirs:>10.1} {ratio:>7.2} {sign}{:>6.2}{mark}   {}",
                row.what, row.goal, row.unit
            );
        }
    }
    if !as_json {
        println!("{} of {} goals met", ROWS.len() - missed, ROWS.len());
    }
    Ok(())
}

fn measure(program: &str, options: &[&str], command: &[&str], path: &str) -> Result<f64, Failure> {
    let output = Command::new(program).args(options).args(command).output()?;
    if !output.status.success() {
        let cause = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{program} {command:?}: {}", cause.trim()).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().last().ok_or("no result")?;
    let result: Value = serde_json::from_str(line)?;
    let figure = result.pointer(path).and_then(Value::as_f64);
    Ok(figure.ok_or_else(|| format!("{program} {command:?}: no {path} in {line}"))?)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
