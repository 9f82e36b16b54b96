//! A link of its own, and on it one node of ours and one of another implementation: each has to find the other by multicast DNS.
//!
//! The link is a pair of virtual interfaces in a network namespace that the run makes for itself and that has no way out; with the last process of the run it is gone.

use crate::{
    Options, install,
    process::{Listener, Process, now},
    report::Report,
};
use std::{
    error::Error,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

/// The verb of the run inside of the namespace.
pub(crate) const INSIDE: &str = "mdns-link-inside";
/// Our addresses there.
const IP: &str = "10.77.0.1";
const IP6: &str = "fd77::1";
/// What makes the link.
const SETUP: [&str; 8] = [
    "link set lo up",
    "link add link0 type veth peer name link1",
    "addr add 10.77.0.1/24 dev link0",
    "link set link0 up",
    "link set link1 up",
    "route add 224.0.0.0/4 dev link0",
    "addr add fd77::1/64 dev link0 nodad",
    "route add ff02::/16 dev link0 table local",
];
/// How long one may take to find the other: js asks every ten seconds.
const FINDING: Duration = Duration::from_secs(30);
/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs this program again in a namespace of its own. Without the right to that, the run is skipped.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let able = Command::new("unshare")
        .args(["--map-root-user", "--net", "ip", "link", "set", "lo", "up"])
        .stdin(Stdio::null())
        .output();
    let missing = match able {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(missing) = missing {
        println!("skipped: no network namespace can be made here: {missing}");
        return Ok(true);
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]);
    command.arg(std::env::current_exe()?).arg(INSIDE);
    command.arg("--ours").arg(std::path::absolute(&options.ours)?);
    for (name, value) in [("--only", &options.only), ("--runtime", &options.runtime)] {
        command.args(value.iter().flat_map(|value| [name, value]));
    }
    command.args(options.json.then_some("--json"));
    Process::start(&mut command)?.wait(LIMIT)
}

/// In the namespace: makes the link, then pairs.
pub(crate) fn run_inside(options: &Options) -> Result<bool, Box<dyn Error>> {
    for line in SETUP {
        let output = Command::new("ip").args(line.split(' ')).output()?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            return Err(format!("ip {line}: {}", why.trim()).into());
        }
    }
    let began = now();
    let mut report = Report::new(options.json);
    let runtime = options.runtime.as_deref();
    if options.only.is_none() {
        for (name, listen) in [
            ("another of ours", format!("/ip4/{IP}/tcp/0")),
            ("another of ours over IPv6", format!("/ip6/{IP6}/tcp/0")),
        ] {
            pair(
                &mut report,
                name,
                [&options.ours, &options.ours],
                runtime,
                &listen,
            );
        }
    }
    for peer in install::peers().filter(|peer| options.only.as_deref().is_none_or(|only| only == *peer)) {
        let listen = format!("/ip4/{IP}/tcp/0");
        let programs = [&*install::program(peer)?, &*options.ours];
        pair(&mut report, peer, programs, runtime, &listen);
    }
    Ok(report.finish(now().duration_since(began).as_secs()))
}

/// Each has to find the other. A peer that has no discovery is passed over with a word.
fn pair(report: &mut Report, name: &str, programs: [&Path; 2], runtime: Option<&str>, listen: &str) {
    let [program, ours] = programs;
    let args = ["--services", "identify,ping,mdns", "--listen", listen];
    let theirs = match Listener::start(program, &args) {
        Ok(theirs) => theirs,
        Err(error) if error.to_string().starts_with("unsupported") => {
            println!("-   {name}: {error}");
            return;
        }
        Err(error) => return report.note(&format!("{name} listens"), Err(error)),
    };
    let mut args = args.to_vec();
    args.extend(runtime.iter().flat_map(|runtime| ["--runtime", runtime]));
    let ours = match Listener::start(ours, &args) {
        Ok(ours) => ours,
        Err(error) => return report.note(&format!("ours listens beside {name}"), Err(error)),
    };
    let found = |who: &Listener, whom: &Listener| {
        let began = now();
        if who.saw("discovered", whom.says.id(), FINDING) {
            Ok(format!("{} ms", now().duration_since(began).as_millis()))
        } else {
            Err(format!("not within {} s", FINDING.as_secs()).into())
        }
    };
    report.note(&format!("ours finds {name}"), found(&ours, &theirs));
    report.note(&format!("{name} finds ours"), found(&theirs, &ours));
}
