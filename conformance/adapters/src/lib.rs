#![doc = include_str!("../README.md")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "tests fail by panicking"
)]

pub mod cases;
pub mod names;
pub mod puppet;

use core::time::Duration;
use libp2p_proto_core::{self as core_types, Multiaddr, PeerId};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_identity::{Identity, Keypair};
pub use libp2p_proto_os::{Discovery, mdns};
use libp2p_proto_perf::{self as perf, Perf};
use libp2p_proto_ping::{self as ping, Ping};
use libp2p_proto_stream_protocol::{Dial, DialError, DialOutcome, Protocol};
use libp2p_proto_swarm::{Config, Event, Swarm};
use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::Instant,
};

/// The longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a test does in the node's own loop or task.
pub type Act = Box<dyn FnOnce(&mut Swarm, &mut App, core_types::Instant) + Send>;

/// One adapter: how to run a node on it. The node runs by itself until it is dropped.
pub trait Adapter: Sized {
    /// Starts a node with these limits. The adapter lends `app.protocols()`, gives every event of the swarm to `app.see`, and calls `app.report` after each drive.
    fn start(identity: Identity, limits: Config, app: App) -> Self;
    /// Listens on a free port of loopback, and says where.
    fn listen(&self) -> Multiaddr;
    /// The same for WebSocket.
    fn listen_websocket(&self) -> Multiaddr;
    /// Runs `act` soon.
    fn call(&self, act: Act);
}

/// Something that the node has seen.
#[derive(Debug)]
pub enum Seen {
    /// An event of the swarm.
    Swarm(Event),
    /// An event of ping.
    Ping(ping::Event),
    /// An event of identify.
    Identify(identify::Event),
    /// An event of perf.
    Perf(perf::Event),
    /// An event of discovery.
    Discovery(mdns::Event),
}

/// The application of every node in the suite.
pub struct App {
    identify: Identify,
    ping: Ping,
    perf: Perf,
    /// How the node makes itself known, if it does: the adapter takes it.
    pub discovery: Option<Discovery>,
    seen: Sender<Seen>,
}

impl App {
    /// The protocols, in order.
    pub fn protocols(&mut self) -> Vec<&mut dyn Protocol> {
        vec![&mut self.identify, &mut self.ping, &mut self.perf]
    }

    /// Takes an event of the swarm.
    pub fn see(&mut self, event: Event) {
        let _nobody_waits = self.seen.send(Seen::Swarm(event));
    }

    /// Takes an event of discovery.
    pub fn discover(&mut self, event: mdns::Event) {
        let _nobody_waits = self.seen.send(Seen::Discovery(event));
    }

    /// Takes the events of the protocols.
    pub fn report(&mut self) {
        let identify = std::iter::from_fn(|| self.identify.poll_event()).map(Seen::Identify);
        let ping = std::iter::from_fn(|| self.ping.poll_event()).map(Seen::Ping);
        let perf = std::iter::from_fn(|| self.perf.poll_event()).map(Seen::Perf);
        for seen in identify.chain(ping).chain(perf) {
            let _nobody_waits = self.seen.send(seen);
        }
    }
}

/// A running node, and what it has seen.
pub struct Node<A> {
    adapter: A,
    /// Its id.
    pub peer: PeerId,
    /// Where it listens, with its id.
    pub addr: Multiaddr,
    seen: Receiver<Seen>,
}

/// The identity of a seed.
pub fn identity(seed: u8) -> Identity {
    Identity::from(Keypair::ed25519_from_seed([seed; 32]))
}

/// Limits that let one host connect as often as the tests do, and keep connections that carry nothing.
pub fn limits() -> Config {
    Config {
        accepts_per_second: 1000,
        max_pending_per_ip: 100,
        idle_timeout: None,
        ..Config::default()
    }
}

impl<A: Adapter> Node<A> {
    /// A listening node.
    pub fn start(seed: u8, limits: Config) -> Self {
        Self::start_with(seed, limits, None)
    }

    /// A listening node that makes itself known.
    pub fn start_with(seed: u8, limits: Config, discovery: Option<Discovery>) -> Self {
        let identity = identity(seed);
        let peer = identity.peer_id();
        let (sender, seen) = channel();
        let app = App {
            identify: Identify::new(identity.clone(), identify::Config::default()).unwrap(),
            ping: Ping::new(ping::Config::default()).unwrap(),
            perf: Perf::new(perf::Config {
                serve: true,
                ..perf::Config::default()
            })
            .unwrap(),
            discovery,
            seen: sender,
        };
        let adapter = A::start(identity, limits, app);
        let addr = adapter.listen().with_peer_id(peer).unwrap();
        Self {
            adapter,
            peer,
            addr,
            seen,
        }
    }

    /// Listens for WebSocket as well, and says where, with its id.
    pub fn listen_websocket(&self) -> Multiaddr {
        self.adapter.listen_websocket().with_peer_id(self.peer).unwrap()
    }

    /// Runs `act` in the node and waits for its answer.
    pub fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Swarm, &mut App, core_types::Instant) -> T + Send + 'static,
    ) -> T {
        let (sender, receiver) = channel();
        self.adapter.call(Box::new(move |swarm, app, now| {
            sender.send(act(swarm, app, now)).unwrap();
        }));
        receiver.recv_timeout(PATIENCE).expect("the node answers in time")
    }

    /// Waits until the node has seen what `pick` picks; what it passes over is forgotten.
    pub fn wait<T>(&self, pick: impl Fn(&Seen) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let seen = self.seen.recv_timeout(left).expect("the node sees it in time");
            if let Some(found) = pick(&seen) {
                return found;
            }
        }
    }

    /// Waits until the swarm is as `is` wants it.
    pub fn until(&self, is: impl Fn(&Swarm) -> bool + Clone + Send + 'static) {
        let end = Instant::now() + PATIENCE;
        loop {
            let is = is.clone();
            if self.call(move |swarm, _, _| is(swarm)) {
                return;
            }
            assert!(Instant::now() < end, "the swarm gets there in time");
        }
    }

    /// Dials and waits for the outcome.
    ///
    /// # Errors
    ///
    /// That of the dial.
    pub fn dial(&self, addr: &Multiaddr) -> Result<PeerId, DialError> {
        let dial = Dial::addr(addr.clone());
        let outcome = self.call(move |swarm, _, now| swarm.dial(now, dial)).unwrap();
        let DialOutcome::Pending(ours) = outcome else {
            panic!("connected already");
        };
        self.wait(|seen| match seen {
            Seen::Swarm(Event::Connected { peer, info, .. }) if info.dial == Some(ours) => Some(Ok(*peer)),
            Seen::Swarm(Event::DialFailed { dial, error, .. }) if *dial == ours => Some(Err(error.clone())),
            _ => None,
        })
    }

    /// Pings a connected peer; fails the test unless the answer comes.
    pub fn ping(&self, to: PeerId) {
        self.call(move |_, app, _| app.ping.ping(to, 1)).unwrap();
        self.wait(|seen| match seen {
            Seen::Ping(ping::Event::Pong { peer, .. }) if *peer == to => Some(()),
            Seen::Ping(ping::Event::Failed { failure, .. }) => panic!("{failure:?}"),
            _ => None,
        });
    }

    /// Sends `up` bytes to a peer and fetches `down` bytes; answers how many arrived.
    pub fn perf(&self, peer: PeerId, up: u64, down: u64) -> (u64, u64) {
        self.call(move |_, app, _| app.perf.run(peer, up, down)).unwrap();
        self.wait(|seen| match seen {
            Seen::Perf(perf::Event::Done { up, down, .. }) => Some((*up, *down)),
            Seen::Perf(perf::Event::Failed { failure, .. }) => panic!("{failure:?}"),
            _ => None,
        })
    }

    /// Waits for the failure of an upgrade that somebody began here; its cause.
    pub fn incoming_failure(&self) -> &'static str {
        self.wait(|seen| match seen {
            Seen::Swarm(Event::IncomingFailed { error, .. }) => Some(error.code),
            _ => None,
        })
    }

    /// Waits for the end of the connection with a peer; its cause.
    pub fn disconnected(&self, from: PeerId) -> Option<&'static str> {
        self.wait(|seen| match seen {
            Seen::Swarm(Event::Disconnected { peer, error, .. }) if *peer == from => {
                Some(error.map(|error| error.code))
            }
            _ => None,
        })
    }
}

/// Makes an adapter of a binding of the driver, a crate of `App`, `Config`, `Handle` and `spawn`; a program of that runtime says what `block_on` is, and how to
/// run a future that nobody waits for.
#[macro_export]
macro_rules! driver_adapter {
    ($name:ident, $binding:ident, $block_on:path, $run:expr) => {
        struct Mounted($crate::App);

        impl $binding::App for Mounted {
            fn protocols(&mut self) -> Vec<&mut dyn libp2p_proto_stream_protocol::Protocol> {
                self.0.protocols()
            }

            fn handle_event(&mut self, event: libp2p_proto_swarm::Event) {
                self.0.see(event);
            }

            #[cfg(feature = "mdns")]
            fn handle_discovery(&mut self, event: $crate::mdns::Event) {
                self.0.discover(event);
            }

            fn after_drive(&mut self) {
                self.0.report();
            }
        }

        /// A node on the executor that all of them share.
        struct $name($binding::Handle<Mounted>);

        impl $name {
            fn listen_on(&self, addr: &str) -> libp2p_proto_core::Multiaddr {
                $block_on(self.0.listen(addr.parse().unwrap())).unwrap()
            }
        }

        impl $crate::Adapter for $name {
            fn start(
                identity: libp2p_proto_identity::Identity,
                limits: libp2p_proto_swarm::Config,
                #[cfg_attr(
                    not(feature = "mdns"),
                    allow(unused_mut, reason = "it has something to take")
                )]
                mut app: $crate::App,
            ) -> Self {
                let config = $binding::Config {
                    swarm: limits,
                    #[cfg(feature = "mdns")]
                    discovery: app.discovery.take(),
                    ..$binding::Config::default()
                };
                Self($binding::spawn(identity, config, Mounted(app)).unwrap())
            }

            fn listen(&self) -> libp2p_proto_core::Multiaddr {
                self.listen_on("/ip4/127.0.0.1/tcp/0")
            }

            fn listen_websocket(&self) -> libp2p_proto_core::Multiaddr {
                self.listen_on("/ip4/127.0.0.1/tcp/0/ws")
            }

            fn call(&self, act: $crate::Act) {
                let handle = self.0.clone();
                $run(async move {
                    handle
                        .call(move |swarm, app, now| act(swarm, &mut app.0, now))
                        .await
                });
            }
        }
    };
}

/// Makes a test of each case, for the adapter of this name.
#[macro_export]
macro_rules! adapter_suite {
    ($adapter:ty) => {
        $crate::adapter_suite!($adapter:
            two_nodes_identify_ping_and_measure_each_other
            two_nodes_do_the_same_over_a_websocket
            a_dial_that_asks_for_it_begins_at_the_port_where_the_node_listens
            a_dial_to_a_closed_port_is_refused
            a_dial_by_a_transport_that_is_not_there_says_so
            a_dial_to_another_peer_than_expected_fails_and_nobody_is_connected
            a_dial_to_a_listener_that_says_nothing_times_out
            a_dial_to_a_listener_that_talks_garbage_fails_with_the_cause
            a_dial_to_a_listener_that_closes_fails_with_the_cause
            a_listener_that_stalls_anywhere_in_the_upgrade_times_out
            garbage_before_the_upgrade_ends_that_link_alone
            a_dialer_that_stalls_anywhere_in_the_upgrade_times_out
            a_dialer_that_goes_in_the_middle_of_the_upgrade_is_noticed
            garbage_after_the_upgrade_ends_that_connection_alone
            a_connection_that_is_reset_in_the_middle_of_a_frame_is_noticed
            a_peer_that_sends_no_more_is_noticed
            a_peer_that_reads_nothing_costs_others_nothing
            a_flood_inside_a_session_ends_that_connection_alone
            a_peer_that_falls_silent_after_the_upgrade_is_given_up_and_costs_others_nothing
            vul_203_a_peer_without_identify_is_told_and_its_connection_is_used
            a_flood_of_links_is_held_off_and_standing_connections_do_not_suffer
            what_was_accepted_arrives_although_the_node_closes
            the_last_words_of_a_node_arrive_although_its_peer_had_more_to_say
        );

        #[cfg(feature = "mdns")]
        #[test]
        fn two_nodes_on_one_link_find_each_other_dial_by_id_and_say_goodbye() {
            $crate::cases::two_nodes_on_one_link_find_each_other_dial_by_id_and_say_goodbye::<$adapter>();
        }
    };
    ($adapter:ty: $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::cases::$case::<$adapter>();
            }
        )*
    };
}
