//! Peers as processes: bounded in time, and always ended, with all that they started.

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    error::Error,
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// How long a listener may take until it listens.
const START: Duration = Duration::from_secs(60);
/// How long a process may take to end after it was told to.
const END: Duration = Duration::from_secs(5);
/// How much longer than its own time-out a dialer may run.
const GRACE: Duration = Duration::from_secs(10);
/// Pause between two looks at a process.
const LOOK: Duration = Duration::from_millis(10);

/// Now, for time limits of processes.
#[expect(
    clippy::disallowed_methods,
    reason = "a runner of processes lives in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A process in a group of its own, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        Ok(Self(command.process_group(0).spawn()?))
    }

    /// A peer: nothing to read for it, and its log is thrown away unless `INTEROP_LOG` is set.
    fn peer(program: &Path, args: &[impl AsRef<OsStr>]) -> Result<(Self, ChildStdout), Box<dyn Error>> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped());
        if std::env::var_os("INTEROP_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        let mut process =
            Self::start(&mut command).map_err(|error| format!("{}: {error}", program.display()))?;
        let out = process.0.stdout.take().ok_or("no standard output")?;
        Ok((process, out))
    }

    /// Waits until it ends. `false`: it failed, or was still running after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<bool, Box<dyn Error>> {
        let began = now();
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status.success());
            }
            if now().duration_since(began) > limit {
                return Ok(false);
            }
            thread::sleep(LOOK);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Ok(group) = i32::try_from(self.0.id()) {
            // A group that has ended already is what is wanted.
            let _ = killpg(Pid::from_raw(group), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            self.signal(Signal::SIGTERM);
            // What does not end in time is killed below.
            let _ended = self.wait(END);
        }
        // What it left behind goes too.
        self.signal(Signal::SIGKILL);
        let _reaped = self.0.wait();
    }
}

/// What a listener says of itself once it listens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    /// Its first address, complete with its id.
    pub(crate) addr: String,
    /// Its first address through a relay, if it has a slot at one.
    pub(crate) circuit: Option<String>,
    /// Implementation and version.
    pub(crate) version: String,
    /// What it has mounted.
    pub(crate) services: Vec<String>,
    /// Where it takes commands, if it does: only a kubo daemon.
    pub(crate) api: Option<String>,
}

impl Announcement {
    /// Its peer id, with which every address ends.
    pub(crate) fn id(&self) -> &str {
        self.addr.rsplit('/').next().unwrap_or_default()
    }

    /// Reads a line of a listener; `None`: it says something else.
    fn read(line: &Value) -> Option<Result<Self, String>> {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        let texts = |key: &str| -> Vec<String> {
            let items = line.get(key).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        match text("event") {
            "unsupported" => Some(Err(format!("unsupported: {}", text("what")))),
            "listening" => Some(
                texts("addrs")
                    .into_iter()
                    .next()
                    .ok_or_else(|| "no address".to_owned())
                    .map(|addr| Self {
                        addr,
                        circuit: texts("addrs")
                            .into_iter()
                            .find(|addr| addr.contains("/p2p-circuit/")),
                        version: format!("{} {}", text("impl"), text("version")),
                        services: texts("services"),
                        api: line.get("api").and_then(Value::as_str).map(str::to_owned),
                    }),
            ),
            _ => None,
        }
    }
}

/// A peer that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    _process: Process,
    pub(crate) says: Announcement,
    lines: Receiver<Value>,
}

impl Listener {
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self, Box<dyn Error>> {
        let (process, out) = Process::peer(program, &[&["listen"], args].concat())?;
        let lines = lines_of(out);
        loop {
            let line: Value = lines.recv_timeout(START).map_err(|error| match error {
                RecvTimeoutError::Timeout => "the listener did not listen in time",
                RecvTimeoutError::Disconnected => "the listener ended before it listened",
            })?;
            if let Some(says) = Announcement::read(&line) {
                return Ok(Self {
                    _process: process,
                    says: says?,
                    lines,
                });
            }
        }
    }

    /// The events that have come by now.
    pub(crate) fn news(&self) -> impl Iterator<Item = Value> + '_ {
        self.lines.try_iter()
    }

    /// Whether an event of this kind that mentions `text` comes within `limit`.
    pub(crate) fn saw(&self, event: &str, text: &str, limit: Duration) -> bool {
        let Some(until) = now().checked_add(limit) else {
            return false;
        };
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(now())) {
            if line.get("event").and_then(Value::as_str) == Some(event) && line.to_string().contains(text) {
                return true;
            }
        }
        false
    }
}

/// The lines of JSON that a peer prints, as they come.
fn lines_of(out: ChildStdout) -> Receiver<Value> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Ok(value) = serde_json::from_str(&line) {
                if sender.send(value).is_err() {
                    return;
                }
            }
        }
    });
    lines
}

/// A dialer that stays connected after it has done what it was asked to.
#[derive(Debug)]
pub(crate) struct Dialer {
    _process: Process,
    lines: Receiver<Value>,
}

impl Dialer {
    /// Starts one. It stays for `limit` at most.
    pub(crate) fn start(
        program: &Path,
        addr: &str,
        actions: &[&str],
        args: &[&str],
        limit: Duration,
    ) -> Result<Self, Box<dyn Error>> {
        let wait = format!("wait:{}", limit.as_secs());
        let actions = [actions, &[&wait]].concat();
        let (process, out) = Process::peer(program, &dialing(addr, &actions, args, limit))?;
        Ok(Self {
            _process: process,
            lines: lines_of(out),
        })
    }

    /// The line of its next action; no other than `connect` may come before it.
    pub(crate) fn next(&self, limit: Duration) -> Result<Value, Box<dyn Error>> {
        loop {
            let line = self.lines.recv_timeout(limit)?;
            let done = line.get("ok").and_then(Value::as_bool) == Some(true);
            if !done || line.get("do").and_then(Value::as_str) != Some("connect") {
                return Ok(line);
            }
        }
    }
}

/// The command line of a dialer.
fn dialing(addr: &str, actions: &[&str], args: &[&str], limit: Duration) -> Vec<String> {
    let seconds = limit.as_secs().to_string();
    let mut all = vec!["dial", addr, "--timeout", &seconds];
    all.extend(args);
    for action in actions {
        all.extend(["--do", action]);
    }
    all.into_iter().map(str::to_owned).collect()
}

/// Runs a command to its end, with this input, and answers what it printed.
pub(crate) fn ask(command: &mut Command, input: &str, limit: Duration) -> Result<String, Box<dyn Error>> {
    let mut process = Process::start(
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped()),
    )?;
    if let Some(mut stdin) = process.0.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let read = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut text = String::new();
            // What is no text is no answer.
            let _ = pipe.read_to_string(&mut text);
            text.trim().to_owned()
        })
    };
    let out = process.0.stdout.take().map(|pipe| read(Box::new(pipe)));
    let errors = process.0.stderr.take().map(|pipe| read(Box::new(pipe)));
    let succeeded = process.wait(limit)?;
    drop(process);
    let text =
        |pipe: Option<thread::JoinHandle<String>>| pipe.and_then(|pipe| pipe.join().ok()).unwrap_or_default();
    if succeeded {
        Ok(text(out))
    } else {
        Err(text(errors).into())
    }
}

/// Runs a dialer to its end and answers its lines.
pub(crate) fn dial(
    program: &Path,
    addr: &str,
    actions: &[&str],
    args: &[&str],
    limit: Duration,
) -> Result<Vec<Value>, Box<dyn Error>> {
    let (mut process, out) = Process::peer(program, &dialing(addr, actions, args, limit))?;
    let reader = thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        lines
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect::<Vec<Value>>()
    });
    process.wait(limit.saturating_add(GRACE))?;
    drop(process);
    reader
        .join()
        .map_err(|_| "the reader of the dialer failed".into())
}

#[cfg(test)]
mod tests {
    use super::{Announcement, Listener, Process, dial};
    use serde_json::json;
    use std::{
        io::{BufRead as _, BufReader, Read as _},
        path::Path,
        process::Command,
        time::Duration,
    };

    #[test]
    fn a_listening_line_is_read_whole_and_other_events_are_ignored() {
        let line = json!({"event": "listening", "peerId": "a", "addrs": ["/x", "/y"], "impl": "i", "version": "1", "services": ["ping"], "more": 1});
        let says = Announcement {
            circuit: None,
            addr: "/x".into(),
            version: "i 1".into(),
            services: vec!["ping".into()],
            api: None,
        };
        assert_eq!(Announcement::read(&line), Some(Ok(says)));
        assert_eq!(Announcement::read(&json!({"event": "gossip"})), None);
        assert_eq!(Announcement::read(&json!(["listening"])), None);
    }

    #[test]
    fn a_listener_that_lacks_something_or_has_no_address_says_so() {
        let line = json!({"event": "unsupported", "what": "key rsa"});
        assert_eq!(
            Announcement::read(&line),
            Some(Err("unsupported: key rsa".into()))
        );
        let line = json!({"event": "listening", "addrs": []});
        assert_eq!(Announcement::read(&line), Some(Err("no address".into())));
    }

    #[test]
    fn a_process_ends_when_it_is_dropped_and_takes_its_children_along() {
        // The shell ignores what it is told, and has a child; both hold the pipe open, and the
        // child would have a last word.
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; (sleep 20; echo lived) & echo ready; wait"]);
        command.stdout(std::process::Stdio::piped());
        let mut process = Process::start(&mut command).unwrap();
        let mut out = BufReader::new(process.0.stdout.take().unwrap());
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        assert!(!process.wait(Duration::from_millis(1)).unwrap());
        drop(process);
        // The end of the pipe comes when nobody holds it any more.
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let nowhere = Path::new("/nowhere/peer");
        let error = Listener::start(nowhere, &[]).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/peer: "), "{error}");
    }

    #[test]
    fn lines_that_are_no_json_are_ignored() {
        // `echo` prints its arguments and ends: no line is JSON.
        let lines = dial(Path::new("echo"), "/addr", &["ping"], &[], Duration::from_secs(5)).unwrap();
        assert!(lines.is_empty());
        let error = Listener::start(Path::new("echo"), &[]).unwrap_err().to_string();
        assert_eq!(error, "the listener ended before it listened");
    }
}
