//! Rendezvous from the command line.

use super::{Fields, Session, Trouble, fields};
use libp2p_proto_rendezvous::Event;
use serde_json::{Value, json};

impl Session {
    /// Registers us at the peer.
    pub(super) async fn register(&self, namespace: &str) -> Result<Fields, Trouble> {
        let (point, wanted) = (self.connected.peer, namespace.to_owned());
        self.node
            .call(move |_, app, _| app.rendezvous.register(point, &wanted, None))
            .await??;
        loop {
            match self.node.next(|app| app.rendezvous.poll_event()).await? {
                Event::Registered {
                    namespace: done, ttl, ..
                } if *done == *namespace => {
                    return Ok(fields([("ttl", json!(ttl.as_secs()))]));
                }
                Event::RegisterFailed {
                    namespace: done,
                    failure,
                    ..
                } if *done == *namespace => return Err(failure.into()),
                _ => {}
            }
        }
    }

    /// Asks the peer who is registered.
    pub(super) async fn discover(&self, namespace: &str) -> Result<Fields, Trouble> {
        let (point, namespace) = (self.connected.peer, namespace.to_owned());
        let id = self
            .node
            .call(move |_, app, _| app.rendezvous.discover(point, &namespace, None))
            .await??;
        loop {
            match self.node.next(|app| app.rendezvous.poll_event()).await? {
                Event::Discovered { query, result, .. } if query == id => {
                    let peers: Vec<Value> = result?
                        .iter()
                        .map(|found| json!(found.peer.to_string()))
                        .collect();
                    if peers.is_empty() {
                        return Err(Trouble::Failed("nobody is registered".into()));
                    }
                    return Ok(fields([("peers", Value::Array(peers))]));
                }
                _ => {}
            }
        }
    }
}
