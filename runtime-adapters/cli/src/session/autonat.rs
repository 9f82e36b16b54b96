//! AutoNAT from the command line.

use super::{Fields, Session, Trouble, fields};
use libp2p_proto_autonat::{Event, Version};
use serde_json::json;

impl Session {
    /// Asks the peer whether it reaches us at one of our listeners.
    pub(super) async fn reach(&self, version: Version) -> Result<Fields, Trouble> {
        let server = self.connected.peer;
        let id = self
            .node
            .call(move |_, app, _| app.autonat.ask(Some(server), version, Vec::new()))
            .await??;
        loop {
            match self.node.next(|app| app.autonat.poll_event()).await? {
                Event::Answered { question, result, .. } if question == id => {
                    let verdict = result?;
                    let word = if verdict.reachable { "public" } else { "private" };
                    let mut found = fields([("reachability", json!(word))]);
                    if let Some(addr) = verdict.addr {
                        found.insert("addr".into(), json!(addr.to_string()));
                    }
                    return Ok(found);
                }
                _ => {}
            }
        }
    }
}
