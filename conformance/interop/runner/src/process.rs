//! Peers as processes: bounded in time, and always ended.

use serde_json::Value;
use std::{
    error::Error,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// How long a listener may take until it listens.
const START: Duration = Duration::from_secs(30);

/// Now, for time limits of processes.
#[expect(
    clippy::disallowed_methods,
    reason = "a runner of processes lives in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for a child, and ends it after `limit`. Says whether it succeeded.
pub(crate) fn wait(child: &mut Child, limit: Duration) -> Result<bool, Box<dyn Error>> {
    let began = now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if now().duration_since(began) > limit {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// A listener that is ended when it is dropped.
pub(crate) struct Listener {
    child: Child,
    /// Its address, complete with its id.
    pub(crate) addr: String,
    /// What it has mounted.
    pub(crate) services: Vec<String>,
    lines: Receiver<Value>,
}

impl Listener {
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut command = Command::new(program);
        command
            .arg("listen")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn()?;
        let out = child.stdout.take().ok_or("no standard output")?;
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
        let mut listener = Self {
            child,
            addr: String::new(),
            services: Vec::new(),
            lines,
        };
        loop {
            let line = listener
                .lines
                .recv_timeout(START)
                .map_err(|_| "did not listen in time")?;
            if line.get("event").and_then(Value::as_str) == Some("unsupported") {
                let what = line.get("what").and_then(Value::as_str).unwrap_or_default();
                return Err(format!("unsupported: {what}").into());
            }
            if line.get("event").and_then(Value::as_str) == Some("listening") {
                let texts = |key: &str| -> Vec<String> {
                    let items = line.get(key).and_then(Value::as_array).into_iter().flatten();
                    items.filter_map(Value::as_str).map(str::to_owned).collect()
                };
                listener.addr = texts("addrs").into_iter().next().ok_or("no address")?;
                listener.services = texts("services");
                return Ok(listener);
            }
        }
    }

    /// Whether an event of this kind that mentions `text` comes within `limit`.
    pub(crate) fn saw(&self, event: &str, text: &str, limit: Duration) -> bool {
        let Some(until) = now().checked_add(limit) else {
            return false;
        };
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(now())) {
                Ok(line) => {
                    if line.get("event").and_then(Value::as_str) == Some(event)
                        && line.to_string().contains(text)
                    {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Runs a dialer to its end and answers its lines.
pub(crate) fn dial(
    program: &Path,
    addr: &str,
    actions: &[String],
    args: &[&str],
    limit: Duration,
) -> Result<Vec<Value>, Box<dyn Error>> {
    let mut command = Command::new(program);
    command.arg("dial").arg(addr).args(args);
    for action in actions {
        command.arg("--do").arg(action);
    }
    let seconds = limit.as_secs().to_string();
    command
        .args(["--timeout", &seconds])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    let out = child.stdout.take().ok_or("no standard output")?;
    let reader = thread::spawn(move || {
        let lines = BufReader::new(out).lines().map_while(Result::ok);
        lines
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect::<Vec<Value>>()
    });
    wait(&mut child, limit.saturating_add(Duration::from_secs(10)))?;
    reader
        .join()
        .map_err(|_| "the reader of the dialer failed".into())
}
