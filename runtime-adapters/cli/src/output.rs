//! Lines for people on a terminal, JSON for programs.

mod people;

use serde_json::Value;
use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::Duration,
};

/// Where and how results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// One object a line.
    Json,
    /// For whoever sits at the terminal.
    People,
}

impl Output {
    /// JSON if it is asked for, or if nobody sits at a terminal.
    pub(crate) fn new(json: bool) -> Self {
        if json || !std::io::stdout().is_terminal() {
            Self::Json
        } else {
            Self::People
        }
    }

    /// Prints one result.
    pub(crate) fn print(self, value: &Value) {
        let mut text = match self {
            Self::Json => value.to_string(),
            Self::People => people::render(value),
        };
        text.push('\n');
        let mut out = std::io::stdout().lock();
        // A reader that has gone away is no reason to end: whoever dialed is still served.
        let _unheard = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// One line about what went wrong, on standard error.
pub(crate) fn complain(error: &impl Display) {
    let text = error.to_string().replace('\n', " ");
    let name = console::style("p2p:").red().for_stderr();
    // Without a standard error there is nobody to tell.
    let _unheard = writeln!(std::io::stderr(), "{name} {text}");
}

/// Lines that may wait for a slow reader of standard output.
const WAITING: usize = 1024;
/// How long the last lines may take to leave.
const LAST: Duration = Duration::from_secs(1);

/// Prints from a thread of its own, so that a reader who has stopped reading stops nothing but the lines: what does not fit any more is lost.
#[derive(Debug)]
pub(crate) struct Printer {
    lines: SyncSender<Value>,
    done: Receiver<()>,
}

impl Printer {
    pub(crate) fn start(out: Output) -> Self {
        let (lines, waiting) = mpsc::sync_channel::<Value>(WAITING);
        let (ended, done) = mpsc::channel();
        thread::spawn(move || {
            for line in waiting {
                out.print(&line);
            }
            // Whoever waited may have given up.
            let _gone = ended.send(());
        });
        Self { lines, done }
    }

    /// A way to print, for another task.
    pub(crate) fn lines(&self) -> Lines {
        Lines(self.lines.clone())
    }

    /// Waits until everything is printed, for a second at most. Every [`Lines`] must be gone.
    pub(crate) fn finish(self) {
        drop(self.lines);
        // A reader that does not read is not waited for.
        let _late = self.done.recv_timeout(LAST);
    }
}

/// Where lines are printed.
#[derive(Clone, Debug)]
pub(crate) struct Lines(SyncSender<Value>);

impl Lines {
    /// Lines that nobody reads.
    pub(crate) fn nowhere() -> Self {
        Self(mpsc::sync_channel(0).0)
    }

    pub(crate) fn print(&self, line: Value) {
        // Full: the reader of standard output does not read.
        let _lost = self.0.try_send(line);
    }
}
