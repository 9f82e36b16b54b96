//! A peer that follows the protocols until its script says otherwise.

use crate::support::PATIENCE;
use libp2p_proto_connection::{Config, Connection};
use libp2p_proto_core::{ConnectionId, Instant, ProtocolName, Side, StreamId, TransmitBuf};
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_stream_protocol::{
    Framing, FromConnection, Seat, SpecEntry, SpecId, SpecTable, StreamSpec, ToConnection,
};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

/// What the puppet does.
#[derive(Clone, Copy)]
pub(crate) enum Script {
    /// Sends this many bytes of a right connection, then nothing, and keeps the link.
    SilentAfter(usize),
    /// Sends this many bytes of a right connection, then closes.
    CloseAfter(usize),
    /// Lists no multiplexer in the handshake, and sends nothing any more once that is done.
    SilentBeforeMuxer,
    /// Sends nothing any more once the connection stands.
    SilentOnceUp,
    /// Closes as soon as the connection stands.
    LeaveOnceUp,
    /// Sends these bytes at once, then nothing.
    Say(&'static [u8]),
    /// Sends this many bytes that mean nothing.
    Noise(usize),
    /// Opens this many streams once the connection stands.
    Streams(u64),
}

/// A puppet that listens; answers its address, which names the peer that it is.
pub(crate) fn listen(script: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            thread::spawn(move || play(socket, Side::Listener, script, &channel().0));
        }
    });
    format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", identity().peer_id())
}

/// A puppet that dials; answers whatever it has done last.
pub(crate) fn dial(socket: (String, u16), script: Script) -> Puppet {
    let socket = TcpStream::connect(socket).unwrap();
    let (sender, news) = channel();
    let link = socket.try_clone().unwrap();
    thread::spawn(move || play(socket, Side::Dialer, script, &sender));
    Puppet { link, news }
}

/// A puppet at work.
pub(crate) struct Puppet {
    link: TcpStream,
    news: Receiver<News>,
}

/// What a puppet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The script is done; the link still stands.
    Acted,
    /// The other end has closed.
    Ended,
}

impl Puppet {
    /// Waits for this.
    pub(crate) fn wait(&self, wanted: News) {
        loop {
            let news = self.news.recv_timeout(PATIENCE);
            let news = news.unwrap_or_else(|error| panic!("{wanted:?} does not come: {error}"));
            if news == wanted {
                return;
            }
        }
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        // The other end may have closed it.
        let _closed = self.link.shutdown(std::net::Shutdown::Both);
    }
}

fn identity() -> Identity {
    Identity::from(Keypair::ed25519_from_seed([7; 32]))
}

fn connection(side: Side, script: Script) -> Connection {
    let name = ProtocolName::from_static("/ipfs/ping/1.0.0");
    let mut spec = StreamSpec::new(name, Framing::Raw);
    spec.max_outbound = u16::MAX;
    let entry = SpecEntry {
        protocol: 0,
        index: 0,
        spec,
    };
    let mut seat = Seat::new(ConnectionId::new(1), side, [7; 32]);
    seat.specs = Arc::new(SpecTable::new(vec![entry]));
    seat.limits.outbound = usize::MAX;
    let mut config = Config::new(&identity(), [9; 32]).unwrap();
    if matches!(script, Script::SilentBeforeMuxer) {
        config = config.without_inlined_muxer().unwrap();
    }
    Connection::new(Instant::ZERO, Arc::new(config), seat)
}

fn play(mut socket: TcpStream, side: Side, script: Script, news: &Sender<News>) {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    match script {
        Script::Say(bytes) => drop(socket.write_all(bytes)),
        Script::Noise(bytes) => {
            let junk = vec![0xa5; 64 * 1024];
            for _ in 0..bytes.div_ceil(junk.len()) {
                if socket.write_all(&junk).is_err() {
                    break;
                }
            }
        }
        _ => speak(&mut socket, side, script),
    }
    // Nobody may be interested.
    let _alone = news.send(News::Acted);
    if !matches!(script, Script::CloseAfter(_) | Script::LeaveOnceUp) {
        let mut buf = [0; 4096];
        while socket.read(&mut buf).is_ok_and(|n| n > 0) {}
    }
    let _alone = news.send(News::Ended);
}

/// Follows the protocols until the script ends it.
fn speak(socket: &mut TcpStream, side: Side, script: Script) {
    let mut machine = connection(side, script);
    let mut left = match script {
        Script::SilentAfter(bytes) | Script::CloseAfter(bytes) => bytes,
        _ => usize::MAX,
    };
    let (mut input, mut buf) = (Vec::new(), [0; 4096]);
    let mut unopened = match script {
        Script::Streams(count) => count,
        _ => 0,
    };
    loop {
        let (mut up, mut known) = (false, false);
        while let Some(message) = machine.poll_message() {
            match message {
                FromConnection::Authenticated { .. } => {
                    known = true;
                    machine.handle_message(Instant::ZERO, ToConnection::Admit);
                }
                FromConnection::Established { .. } => up = true,
                _ => {}
            }
        }
        if known && matches!(script, Script::SilentBeforeMuxer) {
            return;
        }
        let now = if up { std::mem::take(&mut unopened) } else { 0 };
        for place in 0..now {
            let open = ToConnection::Open {
                stream: StreamId::ours(ConnectionId::new(1), place),
                specs: [SpecId(0)].into_iter().collect(),
                lazy: false,
            };
            machine.handle_message(Instant::ZERO, open);
        }
        let mut output = Vec::new();
        while machine.poll_transmit(Instant::ZERO, &mut TransmitBuf::new(&mut output, 1 << 16)) {}
        let sent = output.len().min(left);
        left -= sent;
        if socket.write_all(&output[..sent]).is_err() || left == 0 {
            return;
        }
        if up && matches!(script, Script::SilentOnceUp | Script::LeaveOnceUp) {
            return;
        }
        let Ok(n) = socket.read(&mut buf) else { return };
        if n == 0 || machine.is_closed() {
            return;
        }
        input.extend_from_slice(&buf[..n]);
        let Ok(taken) = machine.handle_input(Instant::ZERO, &mut input) else {
            return;
        };
        input.drain(..taken);
    }
}
