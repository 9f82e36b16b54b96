//! Messages of topics, acknowledged one by one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use crate::{Failure, Node, Outcome};

/// How long one message may take to be acknowledged.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often a message is published, under a new body each time.
const TRIES: u32 = 3;
/// How much of a message its acknowledgement repeats, in bytes.
const ACKED: usize = 64;
const ACK: &[u8] = b"ack:";

/// The beginning of a message, as far as acknowledgements and events repeat it.
pub fn head(data: &[u8]) -> &[u8] {
    data.get(..ACKED).unwrap_or(data)
}

/// What a listener publishes about a message, unless that is an acknowledgement itself.
pub fn acknowledgement(data: &[u8]) -> Option<Vec<u8>> {
    (!data.starts_with(ACK)).then(|| [ACK, head(data)].concat())
}

/// The line that a listener prints about a message.
pub fn event(topic: &str, from: Option<String>, data: &[u8]) -> Value {
    json!({
        "event": "gossip", "topic": topic, "from": from, "bytes": data.len(), "data": String::from_utf8_lossy(head(data)),
    })
}

/// The action `gossip:TOPIC[:N[:SIZE]]`.
pub(crate) async fn gossip<N: Node>(node: &mut N, text: &str) -> Outcome<Value> {
    let mut parts = text.split(':');
    let topic = parts.next().filter(|topic| !topic.is_empty());
    let topic = topic.ok_or_else(|| Failure::Failed("gossip:TOPIC[:N[:SIZE]]".into()))?;
    let mut number = |default| {
        let part: Option<&str> = parts.next();
        let wrong = |_| Failure::Failed("gossip:TOPIC[:N[:SIZE]]".into());
        part.map_or(Ok(default), |text| text.parse::<usize>().map_err(wrong))
    };
    let (count, size) = (number(1)?, number(0)?);
    node.join(topic).await?;
    let mut published = 0;
    for number in 0..count {
        let mut acked = false;
        for attempt in 0..TRIES {
            let mut body = format!("message {number}.{attempt} of {}", std::process::id()).into_bytes();
            body.resize(size.max(body.len()), b'.');
            let wanted = [ACK, head(&body)].concat();
            published += 1;
            node.publish(topic, body).await?;
            let until = Instant::now() + PATIENCE;
            while !acked {
                match timeout_at(until, node.message()).await {
                    Ok(message) => acked = message? == wanted,
                    Err(_) => break,
                }
            }
            if acked {
                break;
            }
        }
        if !acked {
            return Err(Failure::Failed(format!("message {number} was not acknowledged")));
        }
    }
    Ok(json!({"acks": count, "published": published}))
}
