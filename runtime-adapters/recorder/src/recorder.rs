//! Writes lines.

use crate::{
    digest, digest_of,
    lines::{escape, write_call, write_command},
};
use data_encoding::HEXLOWER;
use libp2p_proto_core::Instant;
use libp2p_proto_identity::{Error, Identity, Signer};
use libp2p_proto_stream_protocol::Noted;
use libp2p_proto_swarm::{Action, Call, Event, Watcher};
use siphasher::sip::SipHasher13;
use std::{
    fmt,
    hash::Hasher as _,
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The version of the format, in the first line of each recording.
pub const VERSION: u32 = 2;

/// Writes what goes into one node, and digests of what comes out. Cheap to clone; all clones write the same recording.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Sink>>);

struct Sink {
    out: Box<dyn Write + Send>,
    /// Bytes that may still be written.
    left: u64,
    /// The public key and the application's words, until the first line is written.
    head: String,
    stopped: bool,
    trace: SipHasher13,
}

impl Recorder {
    /// A recorder of the node with this identity, which writes `limit` bytes at most. `application` is what a reader needs to build the same protocols and
    /// limits again; it stands in the first line, so it must not contain secrets.
    ///
    /// Answers the recorder, and the identity that the node and its protocols are to be built with: it signs as before, and has its signatures recorded, since
    /// a reader has no key.
    pub fn new(
        identity: Identity,
        application: &str,
        out: impl Write + Send + 'static,
        limit: u64,
    ) -> (Self, Identity) {
        let key = HEXLOWER.encode(identity.public_key().encode());
        let recorder = Self(Arc::new(Mutex::new(Sink {
            out: Box::new(out),
            left: limit,
            head: format!(
                "peer={} key={key} application={}",
                identity.peer_id(),
                escape(application)
            ),
            stopped: false,
            trace: SipHasher13::new(),
        })));
        let signer = Recorded {
            identity: identity.clone(),
            recorder: recorder.clone(),
        };
        let identity = Identity::from_signer(identity.public_key().clone(), Arc::new(signer));
        (recorder, identity)
    }

    /// What the swarm is to be watched by.
    pub fn watcher(&self) -> Box<dyn Watcher> {
        Box::new(self.clone())
    }

    /// Whether everything was written so far: no limit was reached, and the file took it.
    pub fn is_whole(&self) -> bool {
        !self.lock().stopped
    }

    /// A hash of everything that has come out of the node and was recorded.
    pub fn trace(&self) -> u64 {
        self.lock().trace.finish()
    }

    /// Hands everything to the operating system.
    pub fn flush(&self) {
        let mut sink = self.lock();
        if sink.out.flush().is_err() {
            sink.stopped = true;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sink> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    fn output(&mut self, kind: &str, digest: u64) {
        self.line(&format!("{kind} {digest:016x}"));
        if !self.stopped {
            self.trace.write_u64(digest);
        }
    }

    fn command(&mut self, now: Instant, protocol: u8, command: &Noted) {
        let gave = command.gave.as_ref().map(digest_of);
        self.line(&write_command(now, protocol, &command.command, gave));
        if let (Some(gave), false) = (gave, self.stopped) {
            self.trace.write_u64(gave);
        }
    }

    fn line(&mut self, line: &str) {
        const STOPPED: &[u8] = b"stopped\n";
        if self.stopped {
            return;
        }
        let bytes = u64::try_from(line.len()).unwrap_or(u64::MAX).saturating_add(1);
        // There is always room to say that it stops.
        let kept = u64::try_from(STOPPED.len()).unwrap_or(u64::MAX);
        let left = self.left.checked_sub(bytes).filter(|left| *left >= kept);
        let result = if let Some(left) = left {
            self.left = left;
            writeln!(self.out, "{line}")
        } else {
            self.stopped = true;
            self.out.write_all(STOPPED).and_then(|()| self.out.flush())
        };
        // A node does not fail because its recording does.
        self.stopped |= result.is_err();
    }
}

impl Watcher for Recorder {
    fn begin(&mut self, dice: &[[u8; 32]]) {
        let dice: Vec<String> = dice.iter().map(|seed| HEXLOWER.encode(seed)).collect();
        let mut sink = self.lock();
        let head = format!(
            "libp2p-proto-recording version={VERSION} level=swarm keys=none {} dice={}",
            sink.head,
            dice.join(",")
        );
        sink.line(&head);
    }

    fn call(&mut self, now: Instant, call: &Call) {
        let line = write_call(now, call)
            .or_else(|| write_call(now, &Call::Unseen("a call without words")))
            .unwrap_or_default();
        self.lock().line(&line);
    }

    fn command(&mut self, now: Instant, protocol: u8, command: &Noted) {
        self.lock().command(now, protocol, command);
    }

    fn action(&mut self, action: &Action) {
        self.lock().output("action", digest(action));
    }

    fn event(&mut self, event: &Event) {
        self.lock().output("event", digest(event));
    }
}

/// Signs, and writes the signature down.
struct Recorded {
    identity: Identity,
    recorder: Recorder,
}

impl Signer for Recorded {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.identity.sign(message)?;
        let (message, hex) = (digest_of(message), HEXLOWER.encode(&signature));
        let line = format!("signature {message:016x} x{hex}");
        self.recorder.lock().line(&line);
        Ok(signature)
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}
