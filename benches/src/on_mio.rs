//! Measured nodes on mio: one loop in each thread.

use crate::{
    Failure,
    app::{App, Mount, limits, loopback},
};
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_identify::{self as identify, Identify};
use libp2p_proto_identity::Identity;
use libp2p_proto_mio::{Config, Node};
use libp2p_proto_stream_protocol::Dial;
use libp2p_proto_swarm::Event;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long a loop sleeps before it looks whether it is to end.
const GLANCE: Duration = Duration::from_millis(100);

pub(crate) struct Peer {
    pub(crate) node: Node,
    pub(crate) app: App,
}

impl Peer {
    pub(crate) fn new(identity: Identity, mount: Mount, connections: usize) -> Result<Self, Failure> {
        let mut app = App::new(&identity, mount)?;
        let config = Config {
            swarm: limits(connections),
            ..Config::default()
        };
        let node = Node::new(identity, config, &mut app.protocols())?;
        Ok(Self { node, app })
    }

    pub(crate) fn listen(&mut self) -> Result<Multiaddr, Failure> {
        Ok(self.node.listen(&loopback()?)?)
    }

    pub(crate) fn turn(&mut self, wait: Duration) -> Result<(), Failure> {
        Ok(self.node.turn(&mut self.app.protocols(), Some(wait))?)
    }

    pub(crate) fn dial(&mut self, addr: &Multiaddr) -> Result<(), Failure> {
        let now = self.node.now();
        let mut dial = Dial::addr(addr.clone());
        dial.force = true;
        self.node.swarm().dial(now, dial)?;
        Ok(())
    }

    /// Dials and waits for the connection.
    pub(crate) fn connect(&mut self, addr: &Multiaddr) -> Result<PeerId, Failure> {
        self.dial(addr)?;
        loop {
            self.turn(GLANCE)?;
            while let Some(event) = self.node.poll_event() {
                match event {
                    Event::Connected { peer, .. } => return Ok(peer),
                    Event::DialFailed { error, .. } => return Err(error.into()),
                    _ => {}
                }
            }
        }
    }

    /// Takes a turn, and says whether a peer was identified in it.
    pub(crate) fn identified(&mut self) -> Result<bool, Failure> {
        self.turn(GLANCE)?;
        let mut any = false;
        while let Some(event) = self.app.identify.as_mut().and_then(Identify::poll_event) {
            any |= matches!(event, identify::Event::Identified { .. });
        }
        Ok(any)
    }

    /// Runs the peer in a thread of its own; `watch` sees it after every turn.
    pub(crate) fn spawn(mut self, mut watch: impl FnMut(&mut Self) + Send + 'static) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Err(error) = self.turn(GLANCE) {
                    eprintln!("{error}");
                    return;
                }
                watch(&mut self);
            }
        });
        Running {
            stop,
            thread: Some(thread),
        }
    }
}

/// A peer in a thread, until this is dropped.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _panicked = thread.join();
        }
    }
}

/// Forgets events that nobody counts.
pub(crate) fn forget(peer: &mut Peer) {
    while peer.node.poll_event().is_some() {}
    if let Some(identify) = &mut peer.app.identify {
        while identify.poll_event().is_some() {}
    }
    if let Some(ping) = &mut peer.app.ping {
        while ping.poll_event().is_some() {}
    }
    if let Some(gossip) = &mut peer.app.gossip {
        while gossip.poll_event().is_some() {}
    }
}
