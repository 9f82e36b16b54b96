//! Messages to a topic, each acknowledged by the peer.

use super::{Fields, Session, Trouble, fields};
use libp2p_proto_gossipsub::{Event, Topic};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

/// How long one message may take to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(4);
/// Times that a message is published, under a new body each.
const TRIES: u32 = 3;
/// How much of a message its acknowledgement repeats.
const ACKED: usize = 64;

impl Session {
    pub(super) async fn gossip(&self, topic: &str, count: u32, size: usize) -> Result<Fields, Trouble> {
        let (peer, topic) = (self.connected.peer, Topic::from(topic));
        let joined = topic.clone();
        self.node
            .call(move |_, app, _| app.gossip.subscribe(joined))
            .await??;
        let wanted = topic.clone();
        self.node
            .next(move |app| {
                let known = app.gossip.peers_of(&wanted).any(|known| *known == peer);
                (known && app.gossip.level_of(&peer).is_some()).then_some(())
            })
            .await?;
        let mut published = 0_u32;
        for number in 0..count {
            let mut acked = false;
            for attempt in 0..TRIES {
                published = published.saturating_add(1);
                acked = self.publish(&topic, number, attempt, size).await?;
                if acked {
                    break;
                }
            }
            if !acked {
                return Err(format!("message {number} was not acknowledged").into());
            }
        }
        Ok(fields([("acks", json!(count)), ("published", json!(published))]))
    }

    /// Publishes one message; says whether its acknowledgement came in time.
    async fn publish(&self, topic: &Topic, number: u32, attempt: u32, size: usize) -> Result<bool, Trouble> {
        let mut body = format!("message {number}.{attempt} of {}", std::process::id()).into_bytes();
        body.resize(size.max(body.len()), b'.');
        let head = body.get(..ACKED).unwrap_or(&body);
        let wanted = [b"ack:", head].concat();
        let topic = topic.clone();
        self.node
            .call(move |_, app, _| app.gossip.publish(topic, body, false))
            .await??;
        let heard = self.node.next(move |app| {
            while let Some(event) = app.gossip.poll_event() {
                match event {
                    Event::Message { message, .. } if message.data.as_deref() == Some(&wanted) => {
                        return Some(Ok(()));
                    }
                    Event::PublishFailed { error, .. } => return Some(Err(error)),
                    _ => {}
                }
            }
            None
        });
        match timeout(PATIENCE, heard).await {
            Err(_) => Ok(false),
            Ok(heard) => {
                heard??;
                Ok(true)
            }
        }
    }
}
