//! Processes, bounded in time and always ended.

use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// The longest wait for anything; nothing is expected to take nearly as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program, to be run.
pub(crate) fn p2p(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_p2p"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a process has left behind.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Standard output, which is to be JSON and nothing else.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self.stdout.lines().map(parse).collect()
    }

    /// The line of an action.
    pub(crate) fn line(&self, action: &str) -> Value {
        let lines = self.lines();
        let line = lines.iter().find(|line| line["do"] == action);
        line.unwrap_or_else(|| panic!("no {action} in {self:?}")).clone()
    }
}

/// Runs to the end.
pub(crate) fn run(args: &[&str]) -> Done {
    finish(p2p(args).spawn().unwrap())
}

/// Runs to the end, fed with `input`.
pub(crate) fn run_with(args: &[&str], input: &[u8]) -> Done {
    let mut child = p2p(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    finish(child)
}

/// Waits for a process, and ends it if it takes too long.
pub(crate) fn finish(child: Child) -> Done {
    let id = child.id();
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = receiver.recv_timeout(PATIENCE) else {
        signal(id, "KILL");
        panic!("the process did not end");
    };
    let output = output.unwrap();
    Done {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal to a process of ours.
pub(crate) fn signal(id: u32, name: &str) {
    let script = format!("kill -{name} {id}");
    let sent = Command::new("sh")
        .args(["-c", &script])
        .stderr(Stdio::null())
        .status();
    assert!(sent.is_ok());
}

/// A `p2p listen`, ended when it is dropped.
pub(crate) struct Listener {
    child: Child,
    lines: Receiver<Value>,
    /// The line with which it began.
    pub(crate) listening: Value,
    /// Lines that were read while another one was waited for.
    seen: Vec<Value>,
}

impl Listener {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut all = vec!["listen"];
        all.extend(args);
        let mut child = p2p(&all).stderr(Stdio::inherit()).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let mut listener = Self {
            child,
            lines,
            listening: Value::Null,
            seen: Vec::new(),
        };
        listener.listening = listener.event("listening");
        listener
    }

    /// Its first address.
    pub(crate) fn addr(&self) -> String {
        self.listening["addrs"][0].as_str().unwrap().to_owned()
    }

    /// Its first address without the peer id, as a socket.
    pub(crate) fn socket(&self) -> (String, u16) {
        let addr = self.addr();
        let parts: Vec<_> = addr.split('/').collect();
        (parts[2].to_owned(), parts[4].parse().unwrap())
    }

    pub(crate) fn peer(&self) -> String {
        self.listening["peerId"].as_str().unwrap().to_owned()
    }

    /// The next line of this kind.
    pub(crate) fn event(&mut self, event: &str) -> Value {
        self.event_where(event, |_| true)
    }

    /// The next line of this kind that is as it should be.
    pub(crate) fn event_where(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no {event} after {:?}", self.seen);
            };
            if line["event"] == event && wanted(&line) {
                return line;
            }
            self.seen.push(line);
        }
    }

    /// Sends a signal and answers the exit status.
    pub(crate) fn stop(&mut self, name: &str) -> Option<i32> {
        signal(self.child.id(), name);
        self.code()
    }

    /// The exit status, once it has ended.
    pub(crate) fn code(&mut self) -> Option<i32> {
        // Its output ends with it.
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().unwrap().code()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Dials `addr` and does `actions`.
pub(crate) fn dial(addr: &str, actions: &[&str], options: &[&str]) -> Done {
    let mut args = vec!["dial", addr];
    for action in actions {
        args.extend(["--do", action]);
    }
    args.extend(options);
    run(&args)
}

/// A folder that goes with the test, with a file of this text in it; answers the folder and the file.
pub(crate) fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path.to_str().unwrap().to_owned())
}

/// A configuration under which many connections may come from loopback at once.
pub(crate) fn roomy(more: &str) -> (tempfile::TempDir, String) {
    let limits = "[limits]\naccepts_per_second = 10000\nmax_pending_per_ip = 100\nmax_per_ip = 1000\n";
    file("p2p.toml", &format!("{limits}{more}"))
}

/// Reads whatever a socket says until its end.
pub(crate) fn read_all(mut socket: &std::net::TcpStream) -> Vec<u8> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut all = Vec::new();
    // A reset is an end too.
    let _end = socket.read_to_end(&mut all);
    all
}
