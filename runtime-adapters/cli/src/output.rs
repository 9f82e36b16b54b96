//! Lines for people on a terminal, JSON for programs.

use serde_json::Value;
use std::io::{IsTerminal as _, Write as _};

/// Where and how results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json: json || !std::io::stdout().is_terminal(),
        }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints one result.
    pub(crate) fn print(self, value: &Value) {
        let line = if self.json {
            value.to_string()
        } else {
            for_people(value)
        };
        let mut out = std::io::stdout().lock();
        // A reader that has gone away ends us by its signal or not at all.
        let _unheard = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

/// `ping:3  ok  rttMs 0.2 0.1 0.1`
fn for_people(value: &Value) -> String {
    let Some(fields) = value.as_object() else {
        return value.to_string();
    };
    let mut line = String::new();
    for (key, value) in fields {
        let part = match (key.as_str(), value) {
            (_, Value::Null) => continue,
            ("do" | "event", Value::String(name)) => format!("{:<12}", escape(name)),
            ("ok", Value::Bool(ok)) => String::from(if *ok { "ok" } else { "FAILED" }),
            (key, Value::String(text)) => format!("{key} {}", escape(text)),
            (key, Value::Array(items)) => {
                let items: Vec<_> = items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), escape))
                    .collect();
                format!("{key} {}", items.join(" "))
            }
            (key, other) => format!("{key} {other}"),
        };
        if !line.is_empty() {
            line.push_str("  ");
        }
        line.push_str(&part);
    }
    line
}

/// Text of a peer never controls a terminal, and never fills it.
pub(crate) fn escape(text: &str) -> String {
    text.chars().take(256).flat_map(char::escape_debug).collect()
}
