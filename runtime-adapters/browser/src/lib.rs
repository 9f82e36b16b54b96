//! A libp2p node for JavaScript: the machine of this crate in WebAssembly, its host's sockets and timer in `runtime.js`.
//!
//! Every verb takes the time; bytes come and go as `Uint8Array`. The six verbs and the loop that calls them are those of every other runtime.

mod event;
mod order;

use event::Event;
use libp2p_proto_connection::{self as connection, Connection};
use libp2p_proto_core::{ConnectionId, Instant, Multiaddr, PeerId, Rng, TransmitBuf, UnixTime};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_ping::{self as ping, Ping};
use libp2p_proto_stream_protocol::{AttemptError, Dial, DialOutcome, Protocols};
use libp2p_proto_swarm::{self as swarm, Action, Swarm};
use order::Order;
use std::{collections::BTreeMap, sync::Arc};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// Inputs that one drive delivers.
const BUDGET: usize = 256;
/// Bytes of one message to a socket, at most.
const CHUNK: usize = 64 * 1024;

/// A node: swarm, connections, identify and ping.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Node {
    swarm: Swarm,
    keys: Arc<connection::Config>,
    links: BTreeMap<ConnectionId, Link>,
    /// Connections that are over, whose sockets stand.
    over: Vec<ConnectionId>,
    identify: Identify,
    ping: Ping,
}

/// One WebSocket, as the node sees it.
#[derive(Debug)]
struct Link {
    machine: Connection,
    /// Input that the machine did not take yet.
    input: Vec<u8>,
}

#[wasm_bindgen]
impl Node {
    /// A node whose key and dice all come from these 32 bytes, which `crypto.getRandomValues` gives.
    #[wasm_bindgen(constructor)]
    pub fn new(entropy: &[u8]) -> Result<Self, JsError> {
        let entropy = entropy
            .try_into()
            .map_err(|_| JsError::new("entropy is 32 bytes"))?;
        let dice = Rng::from_seed(entropy);
        let identity = Identity::from(Keypair::ed25519_from_seed(dice.fork_seed("identity", 0)));
        let config = identify::Config {
            agent_version: concat!("libp2p-proto/browser/", env!("CARGO_PKG_VERSION")).into(),
            ..identify::Config::default()
        };
        let mut identify = Identify::new(identity.clone(), config)?;
        let mut ping = Ping::new(ping::Config::default())?;
        let keys = connection::Config::new(&identity, dice.fork_seed("keys", 0))?;
        let mut swarm = Swarm::new(
            identity,
            swarm::Config::default(),
            dice.fork_seed("swarm", 0),
            &mut [&mut identify, &mut ping],
        )?;
        swarm.add_transport(|addr| order::url(addr).is_some());
        Ok(Self {
            swarm,
            keys: keys.into(),
            links: BTreeMap::new(),
            over: Vec::new(),
            identify,
            ping,
        })
    }

    /// Who the node is.
    #[wasm_bindgen(js_name = peerId)]
    pub fn peer_id(&self) -> String {
        self.swarm.local_peer_id().to_string()
    }

    /// Dials an address such as `/dns/example.com/tcp/443/tls/ws/p2p/12D3…`; the event `connected` or `failed` follows.
    pub fn dial(&mut self, now: f64, addr: &str) -> Result<(), JsError> {
        let addr: Multiaddr = addr.parse()?;
        match self.swarm.dial(instant(now), Dial::addr(addr))? {
            DialOutcome::Pending(_) => Ok(()),
            DialOutcome::Connected(_) => Err(JsError::new("connected already")),
        }
    }

    /// Pings a connected peer; one event `ping` for each round follows.
    pub fn ping(&mut self, peer: &str, rounds: u32) -> Result<(), JsError> {
        let peer: PeerId = peer.parse()?;
        self.ping.ping(peer, rounds)?;
        Ok(())
    }

    /// Closes all connections in an orderly way.
    pub fn close(&mut self, now: f64) {
        self.swarm.close(instant(now));
    }

    /// The socket of an order `connect` stands. `false`: it is not wanted any more.
    #[wasm_bindgen(js_name = handleOpen)]
    pub fn handle_open(&mut self, now: f64, conn: u64, remote: &str) -> bool {
        let (now, id) = (instant(now), ConnectionId::new(conn));
        let Ok(remote) = remote.parse() else { return false };
        let seat = self.swarm.handle_dialed(now, id, None, remote);
        let link = seat.map(|mut seat| {
            // What the browser hands over is what the WebSocket carries.
            seat.websocket = None;
            Link {
                machine: Connection::new(now, self.keys.clone(), seat),
                input: Vec::new(),
            }
        });
        link.is_ok_and(|link| self.links.insert(id, link).is_none())
    }

    /// Bytes came.
    #[wasm_bindgen(js_name = handleInput)]
    pub fn handle_input(&mut self, now: f64, conn: u64, bytes: &[u8]) {
        if let Some(link) = self.links.get_mut(&ConnectionId::new(conn)) {
            link.input.extend_from_slice(bytes);
            link.read(instant(now));
        }
    }

    /// The socket is closed, or could not be connected.
    #[wasm_bindgen(js_name = handleClose)]
    pub fn handle_close(&mut self, now: f64, conn: u64) {
        let (now, conn) = (instant(now), ConnectionId::new(conn));
        match self.links.get_mut(&conn) {
            Some(link) => link.machine.handle_eof(now),
            // A browser keeps the cause from the page.
            None => self
                .swarm
                .handle_dial_failed(now, conn, AttemptError::Transport("refused")),
        }
    }

    /// Does everything that can be done now: timers of all connections, their news, the protocols. `unix`: milliseconds since 1970. To be called
    /// again after the orders that it leads to have been carried out, until there are none.
    pub fn drive(&mut self, now: f64, unix: f64) {
        let (now, unix) = (instant(now), UnixTime::from_nanos(instant(unix).as_nanos()));
        for link in self.links.values_mut() {
            link.machine.handle_timeout(now);
            link.read(now);
        }
        let mut more = true;
        while more {
            self.carry_news(now);
            let protocols: Protocols<'_, '_> = &mut [&mut self.identify, &mut self.ping];
            more = self.swarm.drive(now, unix, protocols, BUDGET);
        }
    }

    /// News of connections go to the swarm; connections that have told their last are forgotten.
    fn carry_news(&mut self, now: Instant) {
        let (swarm, over) = (&mut self.swarm, &mut self.over);
        self.links.retain(|conn, link| {
            while swarm.wants_messages() {
                let Some(message) = link.machine.poll_message() else {
                    if link.machine.is_closed() {
                        over.push(*conn);
                    }
                    return !link.machine.is_closed();
                };
                swarm.handle_message(now, *conn, message);
            }
            true
        });
    }

    /// The next thing that the runtime must do.
    #[wasm_bindgen(js_name = pollOrder)]
    pub fn poll_order(&mut self, now: f64) -> Option<Order> {
        let now = instant(now);
        while let Some(action) = self.swarm.poll_action() {
            match action {
                Action::Dial { conn, addr, .. } => {
                    if let Some(url) = order::url(&addr) {
                        return Some(Order::connect(conn, url, &addr));
                    }
                    let error = AttemptError::Transport("unsupported");
                    self.swarm.handle_dial_failed(now, conn, error);
                }
                Action::CancelDial { conn } => return Some(Order::close(conn)),
                Action::Resolve { query, .. } => self.swarm.handle_resolved(now, query, Err("no-resolver")),
                Action::Order { conn, message } => {
                    if let Some(link) = self.links.get_mut(&conn) {
                        link.machine.handle_message(now, message);
                    }
                }
                _ => {}
            }
        }
        self.send(now).or_else(|| self.over.pop().map(Order::close))
    }

    /// What some connection has to send.
    fn send(&mut self, now: Instant) -> Option<Order> {
        let mut output = Vec::new();
        for (conn, link) in &mut self.links {
            let mut out = TransmitBuf::new(&mut output, CHUNK);
            while link.machine.poll_transmit(now, &mut out) {}
            if !output.is_empty() {
                return Some(Order::send(*conn, output));
            }
        }
        None
    }

    /// Milliseconds until the next drive; `undefined`: none is needed before something happens.
    #[wasm_bindgen(js_name = pollTimeout)]
    pub fn poll_timeout(&mut self, now: f64) -> Option<f64> {
        let swarm = self.swarm.poll_timeout(&mut [&mut self.identify, &mut self.ping]);
        let links = self.links.values().filter_map(|link| link.machine.poll_timeout());
        let next = swarm.into_iter().chain(links).map(|deadline| deadline.at).min()?;
        Some(next.since(instant(now)).as_secs_f64() * 1000.0)
    }

    /// The oldest event.
    #[wasm_bindgen(js_name = pollEvent)]
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            let event = if let Some(event) = self.swarm.poll_event() {
                Event::of_swarm(event)
            } else if let Some(event) = self.identify.poll_event() {
                Event::of_identify(event)
            } else {
                Event::of_ping(self.ping.poll_event()?)
            };
            if event.is_some() {
                return event;
            }
        }
    }
}

impl Link {
    /// Feeds the machine; what it does not take yet waits.
    fn read(&mut self, now: Instant) {
        if self.machine.wants_input() && !self.input.is_empty() {
            // An error is also the machine's last message.
            let taken = self.machine.handle_input(now, &mut self.input);
            self.input.drain(..taken.unwrap_or(self.input.len()));
        }
    }
}

/// JavaScript's milliseconds, with a fraction. What is negative or no number is the origin.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates at both ends"
)]
fn instant(millis: f64) -> Instant {
    Instant::from_nanos((millis * 1_000_000.0) as u64)
}
