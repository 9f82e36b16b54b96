//! A direct connection beside the relayed one.

use super::{Fields, Session, Trouble, fields, millis};
use libp2p_proto_dcutr::{Dcutr, Event};
use serde_json::json;
use tokio::time::Instant;

impl Session {
    /// Waits until the peer and we are connected directly. The peer drives; what fails in between may be tried again by it, until the time is over.
    pub(super) async fn upgrade(&self) -> Result<Fields, Trouble> {
        let (began, wanted) = (Instant::now(), self.connected.peer);
        if !self.connected.relayed {
            return Err("the connection is direct already".into());
        }
        let direct = |peer| {
            self.node.call(move |swarm, _, _| {
                let mut all = swarm.connections(peer).into_iter();
                all.any(|conn| {
                    swarm
                        .connection_info(conn)
                        .is_some_and(|info| !info.remote.is_relayed())
                })
            })
        };
        let mut tried = Vec::new();
        while !direct(wanted).await? {
            let event = self
                .node
                .next(|app| app.dcutr.as_mut().and_then(Dcutr::poll_event))
                .await?;
            match event {
                Event::Upgraded { peer, .. } if peer == wanted => break,
                Event::Attempted { peer, attempt } if peer == wanted => {
                    tried.extend(attempt.result.err().map(|failure| failure.to_string()));
                }
                _ => {}
            }
        }
        Ok(fields([
            ("ms", json!(millis(began.elapsed()))),
            ("failedAttempts", json!(tried)),
        ]))
    }
}
