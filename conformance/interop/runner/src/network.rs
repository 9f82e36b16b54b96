//! A network of kubo daemons on loopback and two nodes of ours: what either side provides and names, the other finds.

use crate::{
    Options, install,
    process::{Dialer, Listener, ask, now},
    report::{Checked, Report},
};
use serde_json::Value;
use std::{
    error::Error,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

/// Daemons of the network.
const DAEMONS: usize = 6;
/// The Kademlia that a daemon speaks with local peers.
const KAD: &str = "/ipfs/lan/kad/1.0.0";
/// How long one question may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How often something that takes time to get about is asked for.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// What ours provides, as the bytes of a block.
const OURS: &str = "provided by ours";

/// A daemon, and the program that leads it.
struct Daemon {
    listener: Listener,
    ipfs: PathBuf,
}

impl Daemon {
    fn start(program: &Path) -> Result<Self, String> {
        let limit = LIMIT.as_secs().to_string();
        let args = ["--services", "identify,ping,kad", "--timeout", &limit];
        let listener = Listener::start(program, &args).map_err(|error| error.to_string())?;
        Ok(Self {
            listener,
            ipfs: program.with_file_name("ipfs"),
        })
    }

    fn id(&self) -> &str {
        self.listener.says.id()
    }

    /// Runs a command of the daemon.
    fn ask(&self, args: &[&str], input: &str) -> Result<String, Box<dyn Error>> {
        let api = self.listener.says.api.as_deref();
        let api = api.ok_or("the daemon does not tell where it takes commands")?;
        ask(
            Command::new(&self.ipfs).args(["--api", api]).args(args),
            input,
            PATIENCE,
        )
    }

    /// Asks until the answer has these words.
    fn tells(&self, args: &[&str], wanted: &str) -> Checked {
        let mut last = Err("not asked".into());
        for _ in 0..TRIES {
            last = self.ask(args, "");
            if last.as_ref().is_ok_and(|told| told.contains(wanted)) {
                return Ok(String::new());
            }
            thread::sleep(PAUSE);
        }
        let told = last?;
        Err(format!("{} tells {told:?}, not {wanted}", args.join(" ")).into())
    }

    /// The CID of a block with these bytes.
    fn cid(&self, text: &str) -> Result<String, Box<dyn Error>> {
        let args = ["add", "--only-hash", "--quieter", "--cid-version", "1"];
        self.ask(&args, text)
    }

    /// Holds a block, provides it, and lets its own name point to it. Answers the CID.
    fn provide(&self, text: &str) -> Result<String, Box<dyn Error>> {
        let cid = self.ask(
            &["block", "put", "--cid-codec", "raw", "--mhtype", "sha2-256"],
            text,
        )?;
        self.ask(&["routing", "provide", &cid], "")?;
        self.ask(
            &["name", "publish", "--resolve=false", &format!("/ipfs/{cid}")],
            "",
        )?;
        Ok(cid)
    }
}

/// Says whether everything was found.
pub(crate) fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let began = now();
    let kubo = install::program("kubo")?;
    for program in [&options.ours, &kubo] {
        if !program.exists() {
            return Err(format!("{} is not there", program.display()).into());
        }
    }
    let daemons: Vec<Daemon> = thread::scope(|scope| {
        let starts: Vec<_> = (0..DAEMONS)
            .map(|_| scope.spawn(|| Daemon::start(&kubo)))
            .collect();
        let ended = |start: thread::ScopedJoinHandle<'_, Result<Daemon, String>>| {
            start
                .join()
                .unwrap_or_else(|_| Err("starting a daemon panicked".into()))
        };
        starts.into_iter().map(ended).collect::<Result<_, _>>()
    })?;
    let mut report = Report::new(options.json);
    join(&mut report, &options.ours, &daemons)?;
    Ok(report.finish(now().duration_since(began).as_secs()))
}

/// Joins the daemons and a listener of ours, and lets each side look for what the other has.
fn join(report: &mut Report, ours: &Path, daemons: &[Daemon]) -> Result<(), Box<dyn Error>> {
    let (Some(first), Some(last)) = (daemons.first(), daemons.last()) else {
        return Err("no daemon".into());
    };
    let kad = ["--kad-protocol", KAD];
    let listener = Listener::start(ours, &[&kad[..], &["--services", "identify,ping,kad"]].concat())?;
    for daemon in daemons.iter().skip(1) {
        daemon.ask(&["swarm", "connect", &first.listener.says.addr], "")?;
    }
    last.ask(&["swarm", "connect", &listener.says.addr], "")?;
    theirs_find_ours(report, ours, daemons, &listener)?;
    ours_finds_theirs(report, ours, daemons, &listener)
}

fn theirs_find_ours(
    report: &mut Report,
    ours: &Path,
    daemons: &[Daemon],
    listener: &Listener,
) -> Result<(), Box<dyn Error>> {
    let Some(first) = daemons.first() else {
        return Ok(());
    };
    let cid = first.cid(OURS)?;
    let path = format!("/ipfs/{cid}");
    let actions = [format!("kad-provide:{OURS}"), format!("ipns-publish:{path}")];
    let actions: Vec<_> = actions.iter().map(String::as_str).collect();
    let args = ["--kad-protocol", KAD];
    let provider = Dialer::start(ours, &first.listener.says.addr, &actions, &args, LIMIT)?;
    let provided = provider.next(PATIENCE)?;
    report.note("ours provides", succeeded(&provided));
    let published = provider.next(PATIENCE)?;
    report.note("ours publishes its name", succeeded(&published));
    let name = published
        .get("name")
        .and_then(Value::as_str)
        .ok_or("ours does not tell its name")?;
    for (number, daemon) in daemons.iter().enumerate() {
        let find = ["routing", "findprovs", "--num-providers", "1", &cid];
        report.note(
            &format!("daemon {number} finds what ours provides"),
            daemon.tells(&find, name),
        );
        let resolve = ["name", "resolve", "--nocache", name];
        report.note(
            &format!("daemon {number} resolves the name of ours"),
            daemon.tells(&resolve, &path),
        );
        let find = ["routing", "findpeer", listener.says.id()];
        let addr = listener.says.addr.split("/p2p/").next().unwrap_or_default();
        report.note(
            &format!("daemon {number} finds where ours is"),
            daemon.tells(&find, addr),
        );
    }
    Ok(())
}

fn ours_finds_theirs(
    report: &mut Report,
    ours: &Path,
    daemons: &[Daemon],
    listener: &Listener,
) -> Result<(), Box<dyn Error>> {
    let mut actions = Vec::new();
    let mut wanted = Vec::new();
    for (number, daemon) in daemons.iter().enumerate() {
        let text = format!("provided by daemon {number}");
        let provided = daemon.provide(&text);
        let cid = provided.as_deref().unwrap_or_default().to_owned();
        report.note(
            &format!("daemon {number} provides and publishes its name"),
            provided,
        );
        actions.push(format!("kad-find-providers:{text}"));
        wanted.push((
            format!("ours finds what daemon {number} provides"),
            daemon.id().to_owned(),
        ));
        actions.push(format!("ipns-resolve:{}", daemon.id()));
        wanted.push((
            format!("ours resolves the name of daemon {number}"),
            format!("\"/ipfs/{cid}\""),
        ));
        actions.push(format!("kad-find-peer:{}", daemon.id()));
        let addr = daemon
            .listener
            .says
            .addr
            .split("/p2p/")
            .next()
            .unwrap_or_default();
        wanted.push((format!("ours finds where daemon {number} is"), addr.to_owned()));
    }
    // It knows only our own listener, at the other end of the network, so that all of this is found by asking on.
    let actions: Vec<_> = actions.iter().map(String::as_str).collect();
    let args = ["--kad-protocol", KAD];
    let dialer = Dialer::start(ours, &listener.says.addr, &actions, &args, LIMIT)?;
    for (check, words) in wanted {
        let line = dialer.next(PATIENCE)?;
        let found = succeeded(&line).and_then(|_| {
            if line.to_string().contains(&words) {
                Ok(String::new())
            } else {
                Err(format!("{line}, not {words}").into())
            }
        });
        report.note(&check, found);
    }
    Ok(())
}

fn succeeded(line: &Value) -> Checked {
    if line.get("ok").and_then(Value::as_bool) == Some(true) {
        Ok(String::new())
    } else {
        Err(line.to_string().into())
    }
}
