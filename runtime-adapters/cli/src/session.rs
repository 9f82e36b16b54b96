//! A dialer that is connected, and what it can do.

mod autonat;
mod dcutr;
mod dialer;
mod echo;
mod gossip;
mod kad;
mod relay;
mod rendezvous;
mod streams;

use crate::{
    action::Kind,
    explain,
    node::{Deadline, Node},
    output::Output,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use libp2p_proto_core::{ConnectionId, PeerId, ProtocolName};
use libp2p_proto_perf as perf;
use libp2p_proto_ping as ping;
use libp2p_proto_stream_protocol::{Closed, Dial};
use serde_json::{Map, Value, json};
use std::{fmt::Display, time::Duration};
use tokio::time::{Instant, timeout_at};

pub(crate) use dialer::{Dialer, OWN_NAMES};

/// The extra fields of a result.
pub(crate) type Fields = Map<String, Value>;

/// Why an action did not succeed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// This program has no such action.
    Unsupported,
    /// It was tried.
    Failed(String),
}

impl<E: Display> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A connection as it was agreed.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) peer: PeerId,
    pub(crate) conn: ConnectionId,
    pub(crate) security: ProtocolName,
    pub(crate) muxer: ProtocolName,
    pub(crate) relayed: bool,
}

/// One run: the node, whom it talks to, and until when.
pub(crate) struct Session {
    node: Node<Dialer>,
    pub(crate) connected: Connected,
    deadline: Deadline,
    out: Output,
    /// Names that we were asked to handle.
    pushed: Vec<ProtocolName>,
}

impl Session {
    /// Connects, or says why not.
    pub(crate) async fn connect(
        node: Node<Dialer>,
        dial: Dial,
        deadline: Deadline,
        out: Output,
    ) -> Result<Self, String> {
        let dialed = timeout_at(deadline.at, node.dial(dial))
            .await
            .map_err(|_| deadline.passed("connecting"))?;
        let (_, conn) = dialed.map_err(|failure| explain::dial(&failure))?;
        let link = node.next(move |app| app.connected(conn)).await;
        let connected = link.map_err(|error| error.to_string())?;
        Ok(Self {
            node,
            connected,
            deadline,
            out,
            pushed: Vec::new(),
        })
    }

    /// Does one action, within the time limit and while the connection stands.
    pub(crate) async fn act(&mut self, kind: &Kind) -> Result<Fields, Trouble> {
        if Instant::now() >= self.deadline.at {
            return Err(Trouble::Failed(self.deadline.passed("other actions were done")));
        }
        let (node, deadline) = (self.node.clone(), self.deadline);
        // These two are not about the connection's streams, so its end does not end them.
        let done = match kind {
            Kind::Unsupported => return Err(Trouble::Unsupported),
            Kind::Wait { time } => timeout_at(deadline.at, tokio::time::sleep(*time))
                .await
                .map(|()| Ok(Fields::new())),
            Kind::Alive => return self.alive().await,
            _ => timeout_at(deadline.at, self.perform(kind)).await,
        };
        match done {
            Ok(Err(Trouble::Failed(error))) => {
                // A stream that is lost with its connection is heard of before the end of that.
                let lost = if error == Closed::ConnectionLost.to_string() {
                    let lost = timeout_at(deadline.at, node.next(Dialer::lost)).await;
                    lost.ok().and_then(Result::ok)
                } else {
                    node.call(|_, app, _| app.lost()).await.ok().flatten()
                };
                Err(Trouble::Failed(
                    lost.map_or(error, |cause| format!("connection lost: {cause}")),
                ))
            }
            Ok(done) => done,
            Err(_) => Err(Trouble::Failed(deadline.passed("waiting"))),
        }
    }

    /// What needs the connection.
    async fn perform(&mut self, kind: &Kind) -> Result<Fields, Trouble> {
        let node = self.node.clone();
        let lost = node.next(Dialer::lost);
        tokio::select! {
            // A protocol that has its answer has it, even if the connection is gone by now.
            biased;
            done = self.exchange(kind) => done,
            cause = lost => Err(Trouble::Failed(cause?)),
        }
    }

    async fn exchange(&mut self, kind: &Kind) -> Result<Fields, Trouble> {
        match kind {
            Kind::Ping { rounds } => self.ping(*rounds).await,
            Kind::Identify => self.identify().await,
            Kind::Push { name } => self.push(name.clone()).await,
            Kind::Perf { up, down } => self.perf(*up, *down).await,
            Kind::Echo { text } => self.echo(text).await,
            Kind::Request { text } => self.request(text).await,
            Kind::Fetch { key } => self.fetch(key).await,
            Kind::Gossip { topic, count, size } => self.gossip(topic, *count, *size).await,
            Kind::Kad(query) => self.kad(query).await,
            Kind::Reserve => self.reserve().await,
            Kind::Reach(version) => self.reach(*version).await,
            Kind::Dcutr => self.upgrade().await,
            Kind::Register { namespace } => self.register(namespace).await,
            Kind::Discover { namespace } => self.discover(namespace).await,
            Kind::Wait { .. } | Kind::Alive | Kind::Unsupported => Err(Trouble::Unsupported),
        }
    }

    async fn alive(&self) -> Result<Fields, Trouble> {
        match self.node.call(|_, app, _| app.lost()).await? {
            None => Ok(Fields::new()),
            Some(cause) => Err(Trouble::Failed(format!("connection lost: {cause}"))),
        }
    }

    async fn ping(&self, rounds: u32) -> Result<Fields, Trouble> {
        let peer = self.connected.peer;
        let id = self
            .node
            .call(move |_, app, _| app.ping.ping(peer, rounds))
            .await??;
        let mut rtts = Vec::new();
        loop {
            match self.node.next(|app| app.ping.poll_event()).await? {
                ping::Event::Pong { rtt, left, run, .. } if run == Some(id) => {
                    rtts.push(millis(rtt));
                    if left == 0 {
                        return Ok(fields([("rttMs", json!(rtts))]));
                    }
                }
                ping::Event::Failed { failure, run, .. } if run == Some(id) => return Err(failure.into()),
                _ => {}
            }
        }
    }

    async fn identify(&self) -> Result<Fields, Trouble> {
        let peer = self.connected.peer;
        let info = self.node.next(move |app| app.identified(&peer)).await??;
        if info.agent_version.is_empty() {
            return Err("the peer gives no agent version".into());
        }
        let texts = |items: &mut dyn Iterator<Item = String>| Value::from(items.collect::<Vec<_>>());
        Ok(fields([
            ("agentVersion", json!(&*info.agent_version)),
            ("protocolVersion", json!(&*info.protocol_version)),
            (
                "protocols",
                texts(&mut info.protocols.iter().map(ToString::to_string)),
            ),
            (
                "listenAddrs",
                texts(&mut info.listen_addrs.iter().map(ToString::to_string)),
            ),
            (
                "observedAddr",
                json!(info.observed_addr.as_ref().map(ToString::to_string)),
            ),
        ]))
    }

    async fn perf(&self, up: u64, down: u64) -> Result<Fields, Trouble> {
        let peer = self.connected.peer;
        let began = Instant::now();
        let id = self
            .node
            .call(move |_, app, _| app.perf.run(peer, up, down))
            .await??;
        let bar = self.bar(up.saturating_add(down));
        let done = loop {
            match self.node.next(|app| app.perf.poll_event()).await? {
                perf::Event::Progress { up, down, .. } => bar.set_position(up.saturating_add(down)),
                perf::Event::Done { run, up, down, .. } if run == id => {
                    break Ok(fields([
                        ("upBytes", json!(up)),
                        ("downBytes", json!(down)),
                        ("seconds", json!(began.elapsed().as_secs_f64())),
                    ]));
                }
                perf::Event::Failed { run, failure } if run == id => break Err(failure.into()),
                _ => {}
            }
        };
        bar.finish_and_clear();
        done
    }

    /// A progress bar on a terminal; nothing elsewhere.
    fn bar(&self, bytes: u64) -> ProgressBar {
        let target = match self.out {
            Output::People => ProgressDrawTarget::stderr(),
            Output::Json => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(bytes), target);
        let template =
            "{bar:40.green} {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  {eta} left";
        // A template that is not understood would leave the default one.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar
    }

    /// Ends the connection in an orderly way.
    pub(crate) async fn close(self) {
        self.node.close().await;
    }
}

pub(crate) fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
