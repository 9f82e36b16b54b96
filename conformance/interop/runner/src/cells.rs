//! What is run between two peers, and how each result is judged.

use crate::process::{Listener, dial};
use serde_json::Value;
use std::{error::Error, path::Path, time::Duration};

/// What one dialer does, each action with the service that it needs.
type Actions = &'static [(&'static str, &'static str)];

/// Actions of one connection, in order, with the service that each needs.
const ACTIONS: [(&str, &str); 11] = [
    ("connect", ""),
    ("ping:3", "ping"),
    ("identify", "identify"),
    (PUSH, "push"),
    ("perf:67108864:67108864", "perf"),
    ("echo:hello", "echo"),
    ("reqresp:hello", "reqresp"),
    ("fetch:a", "fetch"),
    ("fetch:missing", "fetch"),
    ("gossip:interop", "gossip"),
    ("gossip:interop:3:60000", "gossip"),
];
/// Those over a WebSocket, whose cells are named `ws …`.
const WS_ACTIONS: [(&str, &str); 4] = [
    ("connect", ""),
    ("ping:3", "ping"),
    ("identify", "identify"),
    ("perf:1048576:1048576", "perf"),
];
/// What one dialer stores with Kademlia, and what another then asks for; `{peer}` stands for the listener's id.
const KAD_ACTIONS: [Actions; 2] = [
    &[("kad-put:a:value-of-a", "kad"), ("kad-provide:b", "kad")],
    &[
        ("kad-get:a", "kad"),
        ("kad-find-providers:b", "kad"),
        ("kad-find-peer:{peer}", "kad"),
        ("kad-closest:c", "kad"),
    ],
];
/// What is asked of services that a listener has only when it is told to, by one dialer after the other.
const ON_REQUEST: [(&str, &[Actions]); 4] = [
    (
        "rendezvous",
        &[
            &[("rendezvous-register:n", "rendezvous")],
            &[("rendezvous-discover:n", "rendezvous")],
        ],
    ),
    ("relay", &[&[("relay-reserve", "relay")]]),
    ("autonat", &[&[("autonat", "autonat")]]),
    ("autonat2", &[&[("autonat2", "autonat2")]]),
];
/// Those over one protocol of publishing only, whose cells are named `/meshsub/1.0.0 …` and so on.
const PUBSUB_ACTIONS: [(&str, &str); 1] = [("gossip:interop:3:60000", "gossip")];
const PUSH: &str = "push:/interop/pushed/1";
const PUSHED: &str = "/interop/pushed/1";
const KEYS: [&str; 4] = ["ed25519", "secp256k1", "ecdsa", "rsa"];
/// Longer than the keep-alive interval of every implementation (30 s in go, ours and py).
const IDLE: [&str; 3] = ["wait:35", "ping:1", "alive"];

/// Time limits of a dialer, generous because peers share a busy machine.
const ACTIONS_LIMIT: Duration = Duration::from_secs(120);
const KEYS_LIMIT: Duration = Duration::from_secs(30);
const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long the event of a push may take after the dialer is done.
const PUSH_LIMIT: Duration = Duration::from_secs(5);
/// How much of an error is kept.
const ERROR_LENGTH: usize = 200;

/// Whether the cell of this name is one of the actions, and so part of every table.
pub(crate) fn is_action(name: &str) -> bool {
    ACTIONS
        .iter()
        .chain(KAD_ACTIONS.into_iter().flatten())
        .any(|(action, _)| name.strip_suffix(action).is_some_and(|rest| rest.ends_with(' ')))
}

/// What one cell ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// With what was measured.
    Passed(String),
    /// With what one side does not have.
    Skipped(String),
    /// With the error.
    Failed(String),
}

/// Who dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    OursDials,
    DialsOurs,
}

impl Direction {
    pub(crate) const ALL: [Self; 2] = [Self::OursDials, Self::DialsOurs];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OursDials => "ours dials",
            Self::DialsOurs => "dials ours",
        }
    }
}

/// Two programs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) direction: Direction,
    pub(crate) ours: &'a Path,
    /// What ours runs on, unless it may choose.
    pub(crate) runtime: Option<&'a str>,
    pub(crate) theirs: &'a Path,
    /// The one protocol id that their Kademlia can have, if it can't have any.
    pub(crate) kad: Option<&'a str>,
}

/// Named cells, and what the peer said of its version, if it listened.
#[derive(Debug, Default)]
pub(crate) struct Results {
    pub(crate) cells: Vec<(String, Cell)>,
    pub(crate) version: Option<String>,
}

impl Pair<'_> {
    fn dialer(&self) -> &Path {
        match self.direction {
            Direction::OursDials => self.ours,
            Direction::DialsOurs => self.theirs,
        }
    }

    fn listener(&self) -> &Path {
        match self.direction {
            Direction::OursDials => self.theirs,
            Direction::DialsOurs => self.ours,
        }
    }

    /// The arguments of the listening or dialing program, with what only ours is told.
    fn args<'b>(&'b self, ours: Direction, args: &[&'b str]) -> Vec<&'b str> {
        let runtime = self.runtime.filter(|_| self.direction == ours);
        let mut all: Vec<_> = runtime.into_iter().flat_map(|name| ["--runtime", name]).collect();
        all.extend(args);
        all
    }

    fn listen(&self, args: &[&str]) -> Result<Listener, Box<dyn Error>> {
        Listener::start(self.listener(), &self.args(Direction::DialsOurs, args))
    }

    fn dial(
        &self,
        addr: &str,
        actions: &[&str],
        args: &[&str],
        limit: Duration,
    ) -> Result<Vec<Value>, Box<dyn Error>> {
        let args = self.args(Direction::OursDials, args);
        dial(self.dialer(), addr, actions, &args, limit)
    }

    /// One listener, one dialer, all actions.
    pub(crate) fn actions(&self) -> Results {
        self.run("", &[&ACTIONS], [&[], &[]])
    }

    /// The same over a WebSocket, with a few of them.
    pub(crate) fn websocket(&self) -> Results {
        self.run("ws ", &[&WS_ACTIONS], [&["--transport", "ws"], &[]])
    }

    /// One listener, and two dialers one after the other: what the first stores the second finds.
    pub(crate) fn kad(&self) -> Results {
        let protocol: Vec<_> = self
            .kad
            .into_iter()
            .flat_map(|name| ["--kad-protocol", name])
            .collect();
        self.run("", &KAD_ACTIONS, [&protocol, &protocol])
    }

    /// Services that a listener has only when it is told to.
    pub(crate) fn on_request(&self) -> Results {
        let mut results = Results::default();
        for (service, dialers) in ON_REQUEST {
            let services = ["identify,push,ping,", service].concat();
            let ended = self.run("", dialers, [&["--services", &services], &[]]);
            results.cells.extend(ended.cells);
        }
        results
    }

    /// Messages over one protocol of publishing that they are told to keep to; ours speaks all.
    pub(crate) fn pubsub(&self, protocol: &str) -> Results {
        let told: &[&str] = &["--pubsub", protocol];
        let args = match self.direction {
            Direction::OursDials => [told, &[]],
            Direction::DialsOurs => [&[], told],
        };
        self.run(&format!("{protocol} "), &[&PUBSUB_ACTIONS], args)
    }

    /// One listener, a dialer for each list of actions, with the options of the listener and of the dialers.
    fn run(&self, prefix: &str, dialers: &[&[(&str, &str)]], args: [&[&str]; 2]) -> Results {
        let [listen, dial] = args;
        let named = |action: &str| [prefix, action].concat();
        let all = |actions: &[(&str, &str)], error: &str| -> Vec<(String, Cell)> {
            let cell = match error.strip_prefix("unsupported: ") {
                Some(what) => self.blame(Cell::Skipped(what.to_owned()), Direction::DialsOurs),
                None => Cell::Failed(error.to_owned()),
            };
            actions
                .iter()
                .map(|(action, _)| (named(action), cell.clone()))
                .collect()
        };
        let listener = match self.listen(listen) {
            Ok(listener) => listener,
            Err(error) => {
                return Results {
                    cells: all(&dialers.concat(), &error.to_string()),
                    version: None,
                };
            }
        };
        let mounted = |service: &str| {
            // A listener that can't report pushes leaves `push` out, but may take them.
            service.is_empty()
                || service == "push"
                || listener.says.services.iter().any(|known| known == service)
        };
        let filled = |action: &str| action.replace("{peer}", listener.says.id());
        let mut cells = Vec::new();
        for actions in dialers {
            let wanted = actions
                .iter()
                .filter(|(action, service)| *action != "connect" && mounted(service));
            // At the end the connection stays for a moment, so that a listener which asks itself for news finds its peer.
            let wanted: Vec<_> = wanted
                .map(|(action, _)| filled(action))
                .chain(["wait:1".to_owned()])
                .collect();
            let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
            let lines = match self.dial(&listener.says.addr, &wanted, dial, ACTIONS_LIMIT) {
                Ok(lines) => lines,
                Err(error) => {
                    cells.extend(all(actions, &error.to_string()));
                    continue;
                }
            };
            for (action, service) in *actions {
                let mut cell = if mounted(service) {
                    self.blame(judge(&filled(action), &lines), Direction::OursDials)
                } else {
                    self.blame(Cell::Skipped("not mounted".to_owned()), Direction::DialsOurs)
                };
                let unseen = || !listener.saw("identify-push", PUSHED, PUSH_LIMIT);
                if *action == PUSH && matches!(cell, Cell::Passed(_)) && unseen() {
                    cell = Cell::Failed("the listener saw no push".to_owned());
                }
                cells.push((named(action), cell));
            }
        }
        Results {
            cells,
            version: (self.direction == Direction::OursDials).then(|| listener.says.version.clone()),
        }
    }

    /// Every pair of key types: connect, ping, identify.
    pub(crate) fn keys(&self) -> Results {
        let mut cells = Vec::new();
        for listens in KEYS {
            let listener = self
                .listen(&["--key", listens])
                .map_err(|error| error.to_string());
            for dials in KEYS {
                let cell = match &listener {
                    Err(error) if error.starts_with("unsupported") => self.blame(
                        Cell::Skipped(format!("no {listens} key of its own")),
                        Direction::DialsOurs,
                    ),
                    Err(error) => Cell::Failed(error.clone()),
                    Ok(listener) => {
                        self.use_connection(listener, &["ping:1", "identify"], &["--key", dials], KEYS_LIMIT)
                    }
                };
                cells.push((format!("keys {dials} to {listens}"), cell));
            }
        }
        Results { cells, version: None }
    }

    /// A connection that rests for longer than everybody's keep-alive interval is still of use.
    pub(crate) fn idle(&self) -> Results {
        let cell = match self.listen(&[]) {
            Ok(listener) => self.use_connection(&listener, &IDLE, &[], IDLE_LIMIT),
            Err(error) => Cell::Failed(error.to_string()),
        };
        Results {
            cells: vec![("idle for 35 s".to_owned(), cell)],
            version: None,
        }
    }

    /// One connection and actions that have to succeed all.
    fn use_connection(&self, listener: &Listener, actions: &[&str], args: &[&str], limit: Duration) -> Cell {
        let lines = match self.dial(&listener.says.addr, actions, args, limit) {
            Ok(lines) => lines,
            Err(error) => return Cell::Failed(error.to_string()),
        };
        for action in ["connect"].iter().chain(actions) {
            match judge(action, &lines) {
                Cell::Passed(_) => {}
                Cell::Failed(error) => return Cell::Failed(format!("{action}: {error}")),
                skipped @ Cell::Skipped(_) => return self.blame(skipped, Direction::OursDials),
            }
        }
        Cell::Passed(String::new())
    }

    /// What ours does not have is a failure: ours has everything. `at_fault` is the direction in which ours is the side that lacks it.
    fn blame(&self, cell: Cell, at_fault: Direction) -> Cell {
        match cell {
            Cell::Skipped(why) if self.direction == at_fault => Cell::Failed(format!("ours: {why}")),
            Cell::Skipped(why) => Cell::Skipped(format!("theirs: {why}")),
            other => other,
        }
    }
}

/// Judges the line of an action among those that a dialer printed.
pub(crate) fn judge(action: &str, lines: &[Value]) -> Cell {
    let of = |action: &str| {
        lines
            .iter()
            .find(|line| line.get("do").and_then(Value::as_str) == Some(action))
    };
    let Some(line) = of(action) else {
        let none = || Cell::Failed("the dialer printed no result".to_owned());
        if action == "connect" {
            return none();
        }
        // Without a connection there is no other line.
        return match judge("connect", lines) {
            Cell::Passed(_) => none(),
            other => other,
        };
    };
    let error = || -> String {
        let text = line
            .get("error")
            .and_then(Value::as_str)
            .unwrap_or("failed, without a reason");
        text.chars().take(ERROR_LENGTH).collect()
    };
    if line.get("unsupported").and_then(Value::as_bool) == Some(true) {
        return Cell::Skipped(error());
    }
    if line.get("ok").and_then(Value::as_bool) != Some(true) {
        return Cell::Failed(error());
    }
    if is_right(action, line) {
        Cell::Passed(measured(line))
    } else {
        Cell::Failed(format!("wrong result: {line}"))
    }
}

/// Whether the fields of a successful line are what the action asked for.
fn is_right(action: &str, line: &Value) -> bool {
    let text = |key: &str| line.get(key).and_then(Value::as_str);
    let some = |key: &str| {
        line.get(key)
            .and_then(Value::as_array)
            .is_some_and(|list| !list.is_empty())
    };
    let (name, rest) = action.split_once(':').unwrap_or((action, ""));
    match name {
        "connect" => text("peerId").is_some_and(|id| !id.is_empty()),
        "ping" => {
            let times = line.get("rttMs").and_then(Value::as_array).map(Vec::len);
            times == Some(rest.parse().unwrap_or(3))
        }
        "identify" => text("agentVersion").is_some_and(|agent| !agent.is_empty()),
        "echo" => text("echo") == Some(rest),
        "reqresp" => text("response").and_then(|text| text.strip_prefix("re:")) == Some(rest),
        "fetch" if rest == "missing" => line.get("value") == Some(&Value::Null),
        "kad-get" => text("value").and_then(|text| text.strip_prefix("value-of-")) == Some(rest),
        "kad-find-providers" => some("providers"),
        "kad-find-peer" => some("addrs"),
        "kad-closest" | "rendezvous-discover" => some("peers"),
        "rendezvous-register" => line
            .get("ttl")
            .and_then(Value::as_f64)
            .is_some_and(|ttl| ttl > 0.0),
        "relay-reserve" => text("circuitAddr").is_some_and(|addr| addr.contains("/p2p-circuit")),
        "autonat" | "autonat2" => text("reachability") == Some("public"),
        "fetch" => text("value").and_then(|text| text.strip_prefix("value-of-")) == Some(rest),
        "gossip" => {
            let wanted = rest.split(':').nth(1).map_or(Some(1), |count| count.parse().ok());
            line.get("acks").and_then(Value::as_u64) == wanted
        }
        "perf" => {
            let count = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or_default();
            rest == format!("{}:{}", count("upBytes"), count("downBytes"))
        }
        _ => true,
    }
}

/// What a line tells about speed, as text.
fn measured(line: &Value) -> String {
    let number = |key: &str| line.get(key).and_then(Value::as_f64);
    if let Some(seconds) = number("seconds") {
        let bytes = number("upBytes").unwrap_or(0.0) + number("downBytes").unwrap_or(0.0);
        return format!("{:.0} MiB/s", bytes / seconds / f64::from(1 << 20));
    }
    let times = line.get("rttMs").and_then(Value::as_array);
    let best = times
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .min_by(f64::total_cmp);
    best.or(number("ms"))
        .map(|time| format!("{time:.1} ms"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Cell, Direction, Pair, is_action, judge, measured};
    use serde_json::{Value, json};
    use std::path::Path;

    fn one(action: &str, mut line: Value) -> Cell {
        line["do"] = action.into();
        judge(
            action,
            &[json!({"do": "connect", "ok": true, "peerId": "a"}), line],
        )
    }

    #[test]
    fn a_success_with_the_right_fields_passes() {
        for (action, line) in [
            ("connect", json!({"ok": true, "peerId": "a", "ms": 1.0})),
            ("ping:3", json!({"ok": true, "rttMs": [3, 0.5, 1]})),
            ("ping", json!({"ok": true, "rttMs": [3, 0.5, 1]})),
            ("identify", json!({"ok": true, "agentVersion": "a"})),
            (
                "perf:1:2",
                json!({"ok": true, "upBytes": 1, "downBytes": 2, "seconds": 1}),
            ),
            ("echo:hello", json!({"ok": true, "echo": "hello"})),
            ("reqresp:hello", json!({"ok": true, "response": "re:hello"})),
            ("fetch:a", json!({"ok": true, "value": "value-of-a"})),
            ("fetch:missing", json!({"ok": true, "value": null})),
            ("gossip:t", json!({"ok": true, "acks": 1, "published": 2})),
            ("gossip:t:3:100", json!({"ok": true, "acks": 3, "published": 3})),
            ("kad-get:a", json!({"ok": true, "value": "value-of-a"})),
            ("kad-find-providers:b", json!({"ok": true, "providers": ["p"]})),
            ("kad-find-peer:p", json!({"ok": true, "addrs": ["/a"]})),
            ("kad-closest:c", json!({"ok": true, "peers": ["p"]})),
            ("rendezvous-register:n", json!({"ok": true, "ttl": 7200})),
            ("rendezvous-discover:n", json!({"ok": true, "peers": ["p"]})),
            (
                "relay-reserve",
                json!({"ok": true, "circuitAddr": "/a/p2p-circuit/p2p/b"}),
            ),
            ("autonat2", json!({"ok": true, "reachability": "public"})),
            ("alive", json!({"ok": true})),
        ] {
            assert!(matches!(one(action, line), Cell::Passed(_)), "{action}");
        }
    }

    #[test]
    fn a_success_with_wrong_fields_fails() {
        for (action, line) in [
            ("connect", json!({"ok": true})),
            ("ping:3", json!({"ok": true, "rttMs": [3, 0.5]})),
            ("identify", json!({"ok": true, "agentVersion": ""})),
            (
                "perf:1:2",
                json!({"ok": true, "upBytes": 2, "downBytes": 1, "seconds": 1}),
            ),
            ("perf:1:2", json!({"ok": true})),
            ("echo:hello", json!({"ok": true, "echo": "hell"})),
            ("reqresp:hello", json!({"ok": true, "response": "hello"})),
            ("fetch:a", json!({"ok": true, "value": null})),
            ("fetch:missing", json!({"ok": true, "value": "value-of-missing"})),
            ("fetch:missing", json!({"ok": true})),
            ("gossip:t:3", json!({"ok": true, "acks": 2, "published": 3})),
            ("gossip:t", json!({"ok": true})),
            ("kad-get:a", json!({"ok": true, "value": "value-of-b"})),
            ("kad-find-providers:b", json!({"ok": true, "providers": []})),
            ("kad-find-peer:p", json!({"ok": true})),
            ("kad-closest:c", json!({"ok": true, "peers": []})),
            ("rendezvous-register:n", json!({"ok": true})),
            ("relay-reserve", json!({"ok": true, "circuitAddr": "/a"})),
            ("autonat", json!({"ok": true, "reachability": "private"})),
        ] {
            let cell = one(action, line);
            // The line of `connect` comes first, and is right.
            let passes = action == "connect" && matches!(cell, Cell::Passed(_));
            assert!(passes || matches!(cell, Cell::Failed(_)), "{action}: {cell:?}");
        }
        assert!(matches!(
            judge("connect", &[json!({"do": "connect", "ok": true})]),
            Cell::Failed(_)
        ));
    }

    #[test]
    fn a_failure_keeps_the_beginning_of_its_error() {
        assert_eq!(
            one("echo:a", json!({"ok": false, "error": "no"})),
            Cell::Failed("no".into())
        );
        let Cell::Failed(error) = one("echo:a", json!({"ok": false, "error": "é".repeat(1000)})) else {
            panic!("not failed");
        };
        assert_eq!(error.chars().count(), 200);
        assert!(matches!(one("echo:a", json!({"ok": false})), Cell::Failed(_)));
        assert!(matches!(one("echo:a", json!({})), Cell::Failed(_)));
    }

    #[test]
    fn what_a_dialer_lacks_is_skipped_unless_the_dialer_is_ours() {
        let cell = one(
            "fetch:a",
            json!({"ok": false, "unsupported": true, "error": "no fetch"}),
        );
        assert_eq!(cell, Cell::Skipped("no fetch".into()));
        let pair = |direction| Pair {
            direction,
            ours: Path::new(""),
            runtime: None,
            theirs: Path::new(""),
            kad: None,
        };
        let blamed = pair(Direction::OursDials).blame(cell.clone(), Direction::OursDials);
        assert_eq!(blamed, Cell::Failed("ours: no fetch".into()));
        let blamed = pair(Direction::DialsOurs).blame(cell, Direction::OursDials);
        assert_eq!(blamed, Cell::Skipped("theirs: no fetch".into()));
    }

    #[test]
    fn only_ours_is_told_what_to_run_on() {
        let pair = |direction| Pair {
            direction,
            ours: Path::new(""),
            runtime: Some("mio"),
            theirs: Path::new(""),
            kad: None,
        };
        let args = |pair: Pair, side| pair.args(side, &["--key", "rsa"]).join(" ");
        let told = "--runtime mio --key rsa";
        assert_eq!(args(pair(Direction::OursDials), Direction::OursDials), told);
        assert_eq!(args(pair(Direction::DialsOurs), Direction::DialsOurs), told);
        assert_eq!(
            args(pair(Direction::OursDials), Direction::DialsOurs),
            "--key rsa"
        );
        assert_eq!(
            args(pair(Direction::DialsOurs), Direction::OursDials),
            "--key rsa"
        );
    }

    #[test]
    fn names_of_cells_tell_actions_from_the_rest() {
        assert!(is_action("go ours dials ping:3"));
        assert!(is_action("litep2p ours dials push:/interop/pushed/1"));
        assert!(is_action("js dials ours kad-get:a"));
        assert!(!is_action("js dials ours keys rsa to ecdsa"));
        assert!(!is_action("js dials ours idle for 35 s"));
    }

    #[test]
    fn without_a_connection_every_action_ends_as_connect_did() {
        let lines = [json!({"do": "connect", "ok": false, "error": "refused"})];
        assert_eq!(judge("echo:a", &lines), Cell::Failed("refused".into()));
        let lines = [json!({"do": "connect", "ok": false, "unsupported": true, "error": "key rsa"})];
        assert_eq!(judge("echo:a", &lines), Cell::Skipped("key rsa".into()));
        assert_eq!(
            judge("echo:a", &[]),
            Cell::Failed("the dialer printed no result".into())
        );
        assert_eq!(
            judge("connect", &[]),
            Cell::Failed("the dialer printed no result".into())
        );
    }

    #[test]
    fn an_action_without_a_line_after_a_connection_is_no_success() {
        let lines = [json!({"do": "connect", "ok": true, "peerId": "a"})];
        assert!(matches!(judge("echo:a", &lines), Cell::Failed(_)));
    }

    #[test]
    fn what_was_measured_is_said_in_its_unit() {
        let perf = json!({"upBytes": 1_048_576, "downBytes": 1_048_576, "seconds": 0.5});
        assert_eq!(measured(&perf), "4 MiB/s");
        assert_eq!(measured(&json!({"rttMs": [3, 0.26, 1]})), "0.3 ms");
        assert_eq!(measured(&json!({"ms": 12.34})), "12.3 ms");
        assert_eq!(measured(&json!({"echo": "a"})), "");
    }
}
