//! Actions that exchange something: a push, an echo, a request, a value.

use super::{Fields, OWN_NAMES, Session, Trouble, fields};
use crate::node::ECHO;
use libp2p_proto_core::ProtocolName;
use libp2p_proto_fetch::Answer;
use libp2p_proto_identify::PUSH_NAME;
use libp2p_proto_request_response as reqresp;
use libp2p_proto_tokio::{OpenFailure, Stream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

impl Session {
    pub(super) async fn push(&mut self, name: ProtocolName) -> Result<Fields, Trouble> {
        let peer = self.connected.peer;
        // A push goes to peers that are known to take it, so identify comes first.
        let info = self.node.next(move |app| app.identified(&peer)).await??;
        if !info.protocols.contains(&PUSH_NAME) {
            return Err("the peer takes no pushes".into());
        }
        let news = !self.pushed.contains(&name) && !OWN_NAMES.contains(&name);
        if !news {
            return Err(format!("{name} is handled already: push another name").into());
        }
        self.pushed.push(name.clone());
        let before = self
            .node
            .call(move |_, app, _| {
                app.unidentified = None;
                app.handled.set_inbound(&name, 1).map(|()| app.pushes)
            })
            .await??;
        self.node
            .next(move |app| match app.unidentified {
                Some(failure) => Some(Err(failure)),
                None => (app.pushes > before).then_some(Ok(())),
            })
            .await??;
        Ok(Fields::new())
    }

    pub(super) async fn echo(&self, text: &str) -> Result<Fields, Trouble> {
        let opened = self.node.open(self.connected.peer, ECHO).await;
        let mut stream = opened.map_err(|failure| match failure {
            OpenFailure::Failed(reason) => reason.to_string(),
            other => other.to_string(),
        })?;
        let echoed = there_and_back(&mut stream, text.as_bytes()).await?;
        if echoed != text.as_bytes() {
            return Err("other bytes came back".into());
        }
        Ok(fields([("echo", json!(text))]))
    }

    pub(super) async fn request(&self, text: &str) -> Result<Fields, Trouble> {
        let (peer, data) = (self.connected.peer, text.to_owned());
        let sent = self
            .node
            .call(move |_, app, _| app.requests.request(peer, 0, data.into()));
        let request = sent.await??;
        loop {
            match self.node.next(|app| app.requests.poll_event()).await? {
                reqresp::Event::Response { id, data, .. } if id == request => {
                    let wanted = format!("re:{text}");
                    if data != wanted {
                        return Err("another response came".into());
                    }
                    return Ok(fields([("response", json!(wanted))]));
                }
                reqresp::Event::Failed { id, failure, .. } if id == request => return Err(failure.into()),
                _ => {}
            }
        }
    }

    pub(super) async fn fetch(&self, key: &str) -> Result<Fields, Trouble> {
        let (peer, asked) = (self.connected.peer, format!("interop/{key}"));
        self.node
            .call(move |_, app, _| app.fetch.fetch(peer, &asked))
            .await??;
        let (_, answer) = self.node.next(|app| app.fetch.poll_event()).await?;
        match answer {
            Answer::Value(_) if key == "missing" => Err("a value came for a key that has none".into()),
            Answer::Value(value) => Ok(fields([("value", json!(String::from_utf8_lossy(&value)))])),
            Answer::NotFound if key == "missing" => Ok(fields([("value", Value::Null)])),
            Answer::NotFound => Err("the peer has no such value".into()),
            Answer::Error(status) => Err(format!("the peer answers with status {status}").into()),
            Answer::Failed(reason) => Err(reason.into()),
            _ => Err("an answer that this program does not know".into()),
        }
    }
}

/// Sends everything and reads everything, both at once: a text may be larger than what the two ends buffer.
async fn there_and_back(stream: &mut Stream, data: &[u8]) -> std::io::Result<Vec<u8>> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut echoed = Vec::new();
    // One byte more than expected is enough to see that it is wrong.
    let most = u64::try_from(data.len()).unwrap_or(u64::MAX).saturating_add(1);
    let mut reader = reader.take(most);
    let send = async {
        writer.write_all(data).await?;
        writer.shutdown().await
    };
    tokio::try_join!(send, reader.read_to_end(&mut echoed))?;
    Ok(echoed)
}
