//! The sub-command `dial`.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tokio::time::timeout_at;

use crate::listen::{is_known, unsupported};
use crate::{FAILED, Failure, Node, OK, Options, Outcome, Query, UNSUPPORTED, gossip, line, services};

/// Connects and runs the actions in order; gives the exit code.
pub async fn dial<N: Node>(addr: &str, actions: &[String], options: &Options) -> u8 {
    let ends = tokio::time::Instant::now() + options.timeout;
    if let Some(what) =
        unsupported::<N>(options).or_else(|| (!is_known::<N>(addr)).then(|| format!("address {addr}")))
    {
        let error = format!("not supported: {what}");
        line(&json!({"do": "connect", "ok": false, "unsupported": true, "error": error}));
        return UNSUPPORTED;
    }
    let connected = timeout_at(ends, async {
        let mut node = N::start(options).await?;
        let begun = Instant::now();
        let connected = node.connect(addr).await?;
        Ok((node, connected, begun.elapsed()))
    });
    let mut node = match connected.await.unwrap_or_else(|_| Err(timed_out())) {
        Err(failure) => {
            let (report, code) = report("connect", Err(failure));
            line(&report);
            return code;
        }
        Ok((node, connected, took)) => {
            line(&json!({
                "do": "connect", "ok": true, "ms": millis(took), "peerId": connected.peer,
                "security": connected.security, "muxer": connected.muxer, "relayed": connected.relayed,
            }));
            node
        }
    };
    let (mut failed, mut unsupported) = (false, false);
    for action in actions {
        let outcome = timeout_at(ends, act(&mut node, action))
            .await
            .unwrap_or_else(|_| Err(timed_out()));
        let (report, code) = report(action, outcome);
        line(&report);
        failed |= code == FAILED;
        unsupported |= code == UNSUPPORTED;
    }
    // An end that does not come by itself soon is not worth waiting for.
    let _ = tokio::time::timeout(Duration::from_millis(500), node.close()).await;
    match (failed, unsupported) {
        (true, _) => FAILED,
        (false, true) => UNSUPPORTED,
        (false, false) => OK,
    }
}

fn timed_out() -> Failure {
    Failure::Failed("the time-out ran out".into())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The line that reports an action, and the exit code that it alone would give.
fn report(action: &str, outcome: Outcome<Value>) -> (Value, u8) {
    let mut fields = Map::new();
    fields.insert("do".into(), action.into());
    fields.insert("ok".into(), outcome.is_ok().into());
    let code = match outcome {
        Ok(Value::Object(more)) => {
            fields.extend(more);
            OK
        }
        Ok(_) => OK,
        Err(Failure::Failed(error)) => {
            fields.insert("error".into(), error.into());
            FAILED
        }
        Err(Failure::Unsupported(error)) => {
            fields.insert("unsupported".into(), true.into());
            fields.insert("error".into(), error.into());
            UNSUPPORTED
        }
    };
    (Value::Object(fields), code)
}

/// Does one action; the value holds the extra fields of its line.
async fn act<N: Node>(node: &mut N, action: &str) -> Outcome<Value> {
    let (name, rest) = action
        .split_once(':')
        .map_or((action, None), |(name, rest)| (name, Some(rest)));
    let text = rest.unwrap_or_default();
    match name {
        "ping" => {
            let count = rest.map_or(Ok(3), number)?;
            let times = node.ping(count as usize).await?;
            Ok(json!({"rttMs": times.into_iter().map(millis).collect::<Vec<_>>()}))
        }
        "identify" => {
            let id = node.identify().await?;
            if id.agent_version.is_empty() {
                return Err(Failure::Failed("the agent version is empty".into()));
            }
            Ok(json!({
                "agentVersion": id.agent_version, "protocolVersion": id.protocol_version, "protocols": id.protocols,
                "listenAddrs": id.listen_addrs, "observedAddr": id.observed_addr,
            }))
        }
        "push" => {
            if !text.starts_with('/') {
                return Err(Failure::Failed(format!("{text:?} is no protocol name")));
            }
            node.push(text).await?;
            Ok(json!({}))
        }
        "perf" => {
            let (up, down) = text
                .split_once(':')
                .ok_or_else(|| Failure::Failed("perf:UP:DOWN".into()))?;
            let (up, down) = (number(up)?, number(down)?);
            let begun = Instant::now();
            let stream = node.open(services::PERF).await?;
            services::perf(stream, up, down).await?;
            Ok(json!({"upBytes": up, "downBytes": down, "seconds": begun.elapsed().as_secs_f64()}))
        }
        "echo" => {
            let stream = node.open(services::ECHO).await?;
            let echo = services::ask(stream, text.as_bytes()).await?;
            let echo = String::from_utf8_lossy(&echo).into_owned();
            if echo != text {
                return Err(Failure::Failed(format!("sent {text:?}, got {echo:?}")));
            }
            Ok(json!({"echo": echo}))
        }
        "reqresp" => {
            let stream = node.open(services::REQRESP).await?;
            let response = services::ask(stream, text.as_bytes()).await?;
            let response = String::from_utf8_lossy(&response).into_owned();
            if response != format!("re:{text}") {
                return Err(Failure::Failed(format!("sent {text:?}, got {response:?}")));
            }
            Ok(json!({"response": response}))
        }
        "fetch" => {
            let stream = node.open(services::FETCH).await?;
            let value = services::fetch(stream, &format!("interop/{text}")).await?;
            let value = value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let expected = (text != "missing").then(|| format!("value-of-{text}"));
            if value != expected {
                return Err(Failure::Failed(format!("expected {expected:?}, got {value:?}")));
            }
            Ok(json!({"value": value}))
        }
        "gossip" => gossip::gossip(node, text).await,
        "relay-reserve" => {
            let slot = node.reserve().await?;
            let mut fields = Map::from_iter([("circuitAddr".to_owned(), slot.addr.into())]);
            fields.extend(
                slot.limit
                    .map(|limit| ("limitSeconds".to_owned(), limit.as_secs().into())),
            );
            fields.extend(slot.bytes.map(|bytes| ("limitBytes".to_owned(), bytes.into())));
            Ok(fields.into())
        }
        "dcutr" => {
            let begun = Instant::now();
            node.direct().await?;
            Ok(json!({"ms": millis(begun.elapsed())}))
        }
        "autonat" => Ok(json!({"reachability": node.reachability(1).await?})),
        "autonat2" => Ok(json!({"reachability": node.reachability(2).await?})),
        "rendezvous-register" => Ok(json!({"ttl": node.register(text).await?})),
        "rendezvous-discover" => {
            let peers = node.discover(text).await?;
            if peers.is_empty() {
                return Err(Failure::Failed("nobody is registered".into()));
            }
            Ok(json!({"peers": peers}))
        }
        "wait" => {
            let seconds = text
                .parse()
                .ok()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            let time = seconds.ok_or_else(|| Failure::Failed(format!("{text:?} is no number of seconds")))?;
            tokio::time::sleep(time).await;
            Ok(json!({}))
        }
        "alive" => node.alive().await.map(|()| json!({})),
        _ => match Query::read(name, text)? {
            Some(query) => query.tell(node.kad(&query).await?),
            None => Err(Failure::Unsupported(format!("{} cannot do {name}", N::IMPL))),
        },
    }
}

fn number(text: &str) -> Outcome<u64> {
    text.parse()
        .map_err(|_| Failure::Failed(format!("{text:?} is no number")))
}
