//! How results read on a terminal.

use console::style;
use indicatif::{DecimalBytes, HumanDuration};
use serde_json::{Map, Value};
use std::{fmt::Write as _, time::Duration};

/// Columns of the name of an action or event.
const NAME: usize = 14;
/// Columns of the verdict on an action.
const VERDICT: usize = 8;

/// Columns of what is told of a peer.
const LABEL: usize = 10;

/// One result as text, without the last line feed.
pub(super) fn render(value: &Value) -> String {
    let Some(fields) = value.as_object() else {
        return value.to_string();
    };
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    match (text("do"), text("event")) {
        (Some(action), _) => act(action, fields),
        (None, Some("listening")) => listening(fields),
        (None, Some("nat")) => nat(fields),
        (None, Some(event)) => format!("{:NAME$} {}", style(event).bold(), details(fields, &["event"])),
        (None, None) => table(fields),
    }
}

/// The diagnosis in sentences, and then what each peer said.
fn nat(fields: &Map<String, Value>) -> String {
    let items = |key: &str| fields.get(key).and_then(Value::as_array).into_iter().flatten();
    let mut lines: Vec<String> = items("text").filter_map(Value::as_str).map(escape).collect();
    for peer in items("peers").filter_map(Value::as_object) {
        let addr = peer.get("addr").and_then(Value::as_str).map(escape);
        lines.push(format!(
            "{}  {}",
            addr.unwrap_or_default(),
            details(peer, &["addr"])
        ));
    }
    if let Some(error) = fields.get("error").and_then(Value::as_str) {
        lines.push(escape(error));
    }
    lines.join("\n")
}

/// `ping:3         ok       0.212 0.190 0.188 ms`
fn act(action: &str, fields: &Map<String, Value>) -> String {
    let name = format!("{:NAME$}", escape(action));
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(escape);
    if fields.get("ok") != Some(&Value::Bool(true)) {
        let (verdict, fallback) = if fields.contains_key("unsupported") {
            (style("no").yellow(), "not supported")
        } else {
            (style("FAILED").red().bold(), "")
        };
        let error = text("error").unwrap_or_else(|| fallback.to_owned());
        return format!("{name} {verdict:VERDICT$} {error}");
    }
    let told = match action.split(':').next() {
        Some("connect") => connected(fields),
        Some("ping") => format!("{} ms", numbers(fields.get("rttMs"))),
        Some("perf") => transfer(fields),
        Some("identify") => return identified(&name, fields),
        _ => details(fields, &["do", "ok"]),
    };
    if told.is_empty() {
        return format!("{name} {}", style("ok").green());
    }
    format!("{name} {:VERDICT$} {told}", style("ok").green())
}

fn connected(fields: &Map<String, Value>) -> String {
    let words = ["peerId", "security", "muxer"];
    let mut parts: Vec<String> = words
        .iter()
        .filter_map(|key| fields.get(*key)?.as_str().map(escape))
        .collect();
    if let Some(ms) = fields.get("ms").and_then(Value::as_f64) {
        parts.push(format!("{ms:.1} ms"));
    }
    parts.join("  ")
}

fn numbers(value: Option<&Value>) -> String {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    let texts: Vec<_> = items
        .filter_map(Value::as_f64)
        .map(|n| format!("{n:.3}"))
        .collect();
    texts.join("  ")
}

fn transfer(fields: &Map<String, Value>) -> String {
    let bytes = |key: &str| fields.get(key).and_then(Value::as_u64).unwrap_or_default();
    let seconds = fields.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    format!(
        "{} up, {} down in {:.3} s",
        DecimalBytes(bytes("upBytes")),
        DecimalBytes(bytes("downBytes")),
        time.as_secs_f64()
    )
}

fn identified(name: &str, fields: &Map<String, Value>) -> String {
    let agent = fields.get("agentVersion").and_then(Value::as_str).map(escape);
    let mut out = format!(
        "{name} {:VERDICT$} {}",
        style("ok").green(),
        agent.unwrap_or_default()
    );
    let rows = [
        ("version", "protocolVersion"),
        ("protocols", "protocols"),
        ("listens at", "listenAddrs"),
        ("sees us at", "observedAddr"),
    ];
    for (label, key) in rows {
        let items = match fields.get(key) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(escape).collect(),
            Some(Value::String(text)) => vec![escape(text)],
            _ => Vec::new(),
        };
        for (place, item) in items.iter().enumerate() {
            let label = if place == 0 { label } else { "" };
            let _infallible = write!(
                out,
                "\n{:NAME$} {} {item}",
                "",
                style(format!("{label:LABEL$}")).dim()
            );
        }
    }
    out
}

fn listening(fields: &Map<String, Value>) -> String {
    let texts = |key: &str| -> Vec<String> {
        let items = fields.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(escape).collect()
    };
    let peer = fields.get("peerId").and_then(Value::as_str).map(escape);
    let mut out = format!(
        "{:NAME$} {}",
        style("listening").green().bold(),
        peer.unwrap_or_default()
    );
    let addrs = texts("addrs");
    for addr in &addrs {
        let _infallible = write!(out, "\n{:NAME$} {addr}", "");
    }
    let _infallible = write!(out, "\n{:NAME$} {}", "services", texts("services").join(" "));
    if let Some(url) = fields.get("metrics").and_then(Value::as_str) {
        let _infallible = write!(out, "\n{:NAME$} {}", "metrics", escape(url));
    }
    if let Some(addr) = addrs.first() {
        let hint = format!("try: p2p dial {addr} --do ping --do identify");
        let _infallible = write!(out, "\n{}", style(hint).dim());
    }
    let limit = fields.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    let limit = HumanDuration(Duration::try_from_secs_f64(limit).unwrap_or_default());
    let hint = format!("ends with Ctrl-C, or in {limit} (--timeout)");
    let _infallible = write!(out, "\n{}", style(hint).dim());
    out
}

/// `key value`, two spaces apart.
fn details(fields: &Map<String, Value>, skipped: &[&str]) -> String {
    let parts: Vec<_> = fields
        .iter()
        .filter(|(key, value)| !skipped.contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| format!("{} {}", style(key).dim(), plain(value)))
        .collect();
    parts.join("  ")
}

/// One row for each field.
fn table(fields: &Map<String, Value>) -> String {
    let width = fields.keys().map(String::len).max().unwrap_or_default();
    let rows: Vec<_> = fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .flat_map(|(key, value)| {
            let items = match value {
                Value::Array(items) => items.iter().map(plain).collect(),
                other => vec![plain(other)],
            };
            let label = |place| if place == 0 { key.as_str() } else { "" };
            items
                .into_iter()
                .enumerate()
                .map(|(place, item)| format!("{}  {item}", style(format!("{:width$}", label(place))).dim()))
                .collect::<Vec<_>>()
        })
        .collect();
    rows.join("\n")
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Text of a peer never controls a terminal, and never fills it.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().take(512) {
        if matches!(c, '"' | '\'' | '\\') {
            out.push(c);
        } else {
            out.extend(c.escape_debug());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::render;
    use serde_json::json;

    fn bare(value: &serde_json::Value) -> String {
        console::strip_ansi_codes(&render(value)).into_owned()
    }

    #[test]
    fn actions_read_as_rows() {
        let ping = json!({ "do": "ping:2", "ok": true, "rttMs": [0.25, 0.5] });
        assert_eq!(bare(&ping), "ping:2         ok       0.250  0.500 ms");
        let failed = json!({ "do": "echo:x", "ok": false, "error": "reset by the peer" });
        assert_eq!(bare(&failed), "echo:x         FAILED   reset by the peer");
        let no = json!({ "do": "gossip:t", "ok": false, "unsupported": true, "error": "not supported" });
        assert_eq!(bare(&no), "gossip:t       no       not supported");
        let alive = json!({ "do": "alive", "ok": true });
        assert_eq!(bare(&alive), "alive          ok");
    }

    #[test]
    fn text_of_a_peer_does_not_reach_the_terminal_unescaped() {
        let line = json!({ "do": "identify", "ok": true, "agentVersion": "\u{1b}[2J\r\n\u{7}evil", "protocols": ["/a\u{1b}]0;x\u{7}"] });
        let text = bare(&line);
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(control), "{text:?}");
        assert_eq!(text.lines().count(), 2);
    }
}
