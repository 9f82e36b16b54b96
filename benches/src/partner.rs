//! This program as a second process that prints lines of JSON.

use crate::{Failure, Runtime};
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

pub(crate) struct Partner {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Partner {
    pub(crate) fn start(runtime: Runtime, args: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        if runtime == Runtime::Tokio {
            command.arg("--tokio");
        }
        let mut child = command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("the second process has no pipes")?;
        Ok(Self {
            child,
            input,
            lines: BufReader::new(output).lines(),
        })
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> Result<Value, Failure> {
        let text = self.lines.next().ok_or("the second process ended")??;
        Ok(serde_json::from_str(&text)?)
    }

    /// Its address, from its first line.
    pub(crate) fn addr(&mut self) -> Result<String, Failure> {
        let line = self.line()?;
        let addr = line.get("addr").and_then(Value::as_str);
        Ok(addr.ok_or("no address")?.to_owned())
    }

    /// Its answer to a line of ours.
    pub(crate) fn ask(&mut self) -> Result<Value, Failure> {
        if let Some(input) = &mut self.input {
            input.write_all(b"\n")?;
        }
        self.line()
    }

    pub(crate) fn cpu_seconds(&mut self) -> Result<f64, Failure> {
        let line = self.ask()?;
        let seconds = line.get("cpuSeconds").and_then(Value::as_f64);
        Ok(seconds.ok_or("no CPU time from the second process")?)
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        drop(self.input.take());
        // It ends by itself with its input.
        let _reaped = self.child.wait();
    }
}
