//! Actions that exchange something: a push, an echo, a request, a value.

use super::{Fields, OWN_NAMES, Session, Trouble, fields};
use libp2p_proto_core::ProtocolName;
use libp2p_proto_fetch::Answer;
use libp2p_proto_identify::PUSH_NAME;
use libp2p_proto_request_response as reqresp;
use serde_json::{Value, json};

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
        let (peer, data) = (self.connected.peer, text.to_owned());
        self.node
            .call(move |_, app, _| app.echo.send(peer, data.into()))
            .await??;
        let echoed = self.node.next(|app| app.echo.take()).await??;
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
