//! A private network of one node of each implementation and ours: what any of them stores, every other finds.

use crate::{
    Options,
    cells::{Cell, judge},
    install,
    process::{Listener, dial, now},
    report::{Checked, Report},
};
use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

/// The protocol id that all speak: the only one that a kubo daemon has for local networks.
const PROTOCOL: &str = "/ipfs/lan/kad/1.0.0";
/// Stores only names, so values are neither put into nor asked of it.
const NAMES_ONLY: &str = "kubo";
/// How long a dialer may take, with all its actions.
const LIMIT: Duration = Duration::from_secs(90);

/// An implementation that takes part.
#[derive(Debug)]
struct Member {
    name: &'static str,
    program: PathBuf,
    listener: Listener,
}

impl Member {
    fn stores_values(&self) -> bool {
        self.name != NAMES_ONLY
    }

    /// A name that is its own, for what it stores.
    fn text(&self) -> String {
        self.name.replace('-', "")
    }
}

/// Says whether every node found everything.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let began = now();
    let members = start(&options.ours)?;
    let mut report = Report::new(options.json);
    for member in &members {
        report.note(
            &format!("{} joins", member.name),
            Ok(member.listener.says.addr.clone()),
        );
    }
    let mut count = |who: &str, results: Vec<(String, Cell)>| {
        for (action, cell) in results {
            let checked: Checked = match cell {
                Cell::Passed(detail) => Ok(detail),
                Cell::Failed(why) | Cell::Skipped(why) => Err(why.into()),
            };
            report.note(&format!("{who} {action}"), checked);
        }
    };
    // Whoever stores or asks does so at the next node, never at that of its own implementation.
    let nexts = || members.iter().cycle().skip(1);
    for (member, next) in members.iter().zip(nexts()) {
        let text = member.text();
        let mut actions = vec![format!("kad-provide:{text}")];
        // The next node has to say that it took the value.
        if member.stores_values() && next.stores_values() {
            actions.push(format!("kad-put:{text}:value-of-{text}"));
        }
        count(&format!("{} stores:", member.name), ask(member, next, &actions));
    }
    let stored = |member: &Member, next: &Member| member.stores_values() && next.stores_values();
    for (member, next) in members.iter().zip(nexts()) {
        let mut actions = Vec::new();
        for (other, at) in members.iter().zip(nexts()) {
            let text = other.text();
            actions.push(format!("kad-find-providers:{text}"));
            actions.push(format!("kad-find-peer:{}", other.listener.says.id()));
            if member.stores_values() && stored(other, at) {
                actions.push(format!("kad-get:{text}"));
            }
        }
        count(&format!("{} finds:", member.name), ask(member, next, &actions));
    }
    Ok(report.finish(now().duration_since(began).as_secs()))
}

/// Ours first, then one of each implementation that is installed, which all know ours only.
fn start(ours: &Path) -> Result<Vec<Member>, Box<dyn Error>> {
    let args = ["--services", "identify,ping,kad", "--kad-protocol", PROTOCOL];
    let first = Member {
        name: "ours",
        program: ours.to_owned(),
        listener: Listener::start(ours, &args)?,
    };
    let meet = first.listener.says.addr.clone();
    let mut members = vec![first];
    for name in install::peers() {
        let program = install::program(name)?;
        if !program.exists() {
            return Err(format!("{name} is not installed: run `interop-runner install`").into());
        }
        let args = [args.as_slice(), &["--peer", &meet]].concat();
        let listener = Listener::start(&program, &args).map_err(|error| format!("{name}: {error}"))?;
        members.push(Member {
            name,
            program,
            listener,
        });
    }
    Ok(members)
}

/// A node of the first member's implementation, which knows nothing but the address of the second, and what it answered.
fn ask(member: &Member, at: &Member, actions: &[String]) -> Vec<(String, Cell)> {
    let mut wanted: Vec<_> = actions.iter().map(String::as_str).collect();
    // What is only sent has to arrive.
    wanted.push("wait:1");
    let args = ["--kad-protocol", PROTOCOL];
    let lines = dial(&member.program, &at.listener.says.addr, &wanted, &args, LIMIT);
    let cell = |action: &String| match &lines {
        Ok(lines) => judge(action, lines),
        Err(error) => Cell::Failed(error.to_string()),
    };
    actions
        .iter()
        .map(|action| (action.clone(), cell(action)))
        .collect()
}
