//! A slot at a relay.

use super::{Fields, Session, Trouble, fields};
use libp2p_proto_relay::Event;
use serde_json::json;

impl Session {
    /// Reserves a slot at the peer.
    pub(super) async fn reserve(&self) -> Result<Fields, Trouble> {
        let relay = self.connected.peer;
        let us = self
            .node
            .call(move |swarm, app, _| {
                app.relay.reserve(relay, Vec::new());
                swarm.local_peer_id()
            })
            .await?;
        loop {
            match self.node.next(|app| app.relay.poll_event()).await? {
                Event::Reserved {
                    relay: at,
                    expire,
                    limit,
                    addrs,
                    ..
                } if at == relay => {
                    let addr = addrs.first().and_then(|addr| addr.with_peer_id(us).ok());
                    let addr = addr.ok_or("the relay has no address that can be used")?;
                    return Ok(fields([
                        ("circuitAddr", json!(addr.to_string())),
                        ("expire", json!(expire)),
                        ("limitSeconds", json!(limit.duration)),
                        ("limitBytes", json!(limit.data)),
                    ]));
                }
                Event::NotReserved { relay: at, failure } if at == relay => return Err(failure.into()),
                _ => {}
            }
        }
    }
}
