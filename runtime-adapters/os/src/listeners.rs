//! The sockets where a node listens, and the ports where its dials begin.

use crate::{Error, code, connect, listen, to_multiaddr, to_multiaddr_like, to_socket};
use core::{fmt, time::Duration};
use libp2p_proto_core::{Instant, Multiaddr};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
};

/// Links that are accepted of one listener before others have their turn.
const BATCH: usize = 256;
/// How long listeners rest after a failed accept: descriptors may be short for a moment.
const REST: Duration = Duration::from_millis(50);

/// The listeners of a node, as its loop has them, and the address of each. None dies of a failed accept: then all rest for 50 ms.
pub struct Listeners<L> {
    list: Vec<(L, Multiaddr)>,
    /// When to accept although nothing is reported.
    accept_at: Option<Instant>,
}

impl<L> Default for Listeners<L> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            accept_at: None,
        }
    }
}

impl<L> Listeners<L> {
    /// Listens; `adopt` makes the socket, which does not block, the loop's own. Answers the concrete address.
    ///
    /// # Errors
    ///
    /// [`Error::NotTcp`], [`Error::Io`].
    pub fn listen(
        &mut self,
        addr: &Multiaddr,
        adopt: impl FnOnce(TcpListener) -> io::Result<L>,
    ) -> Result<Multiaddr, Error> {
        let socket = to_socket(addr).ok_or_else(|| Error::NotTcp(addr.clone()))?;
        let listener = listen(socket)?;
        let addr = to_multiaddr_like(listener.local_addr()?, addr);
        self.list.push((adopt(listener)?, addr.clone()));
        Ok(addr)
    }

    /// Begins to connect; with `reuse_port` from a port where we listen, if one fits. See [`connect`](crate::connect).
    ///
    /// # Errors
    ///
    /// The cause in one word; `unsupported`: not an address of TCP.
    pub fn connect(&self, addr: &Multiaddr, reuse_port: bool) -> Result<TcpStream, &'static str> {
        let remote = to_socket(addr).ok_or("unsupported")?;
        let listening = self.list.iter().map(|(_, addr)| addr);
        connect(listening.filter(|_| reuse_port), remote).map_err(|error| code(&error))
    }

    /// Accepts what waits, unless the listeners rest. `accept` takes the next link of one of them, with its local and its remote end: [`ErrorKind::WouldBlock`] says that there is
    /// none, [`ErrorKind::ConnectionAborted`] and [`ErrorKind::Interrupted`] to ask again. Answers the links and the addresses of their ends.
    pub fn accept<S>(
        &mut self,
        now: Instant,
        mut accept: impl FnMut(&mut L) -> io::Result<(S, SocketAddr, SocketAddr)>,
    ) -> Vec<(S, Multiaddr, Multiaddr)> {
        let mut accepted = Vec::new();
        if self.accept_at.is_some_and(|at| at > now) {
            return accepted;
        }
        self.accept_at = None;
        for (listener, addr) in &mut self.list {
            let mut again = Some(now);
            for _ in 0..BATCH {
                match accept(listener) {
                    Ok((socket, local, remote)) => {
                        accepted.push((socket, to_multiaddr_like(local, addr), to_multiaddr(remote)));
                    }
                    Err(error) if is_of_one_link(&error) => {}
                    Err(error) => {
                        let rest = error.kind() != ErrorKind::WouldBlock;
                        again = rest.then(|| now + REST);
                        break;
                    }
                }
            }
            self.accept_at = self.accept_at.max(again);
        }
        accepted
    }

    /// Something waits: the listeners need not rest any longer.
    pub const fn wake(&mut self) {
        self.accept_at = Some(Instant::ZERO);
    }

    /// When to accept although nothing is reported.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.accept_at
    }

    /// Listens no more.
    pub fn close(&mut self) {
        self.list.clear();
        self.accept_at = None;
    }
}

/// Whether an error is about a link that is gone before it is accepted, and about nothing else.
fn is_of_one_link(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::Interrupted
    )
}

impl<L> fmt::Debug for Listeners<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.list.iter().map(|(_, addr)| addr))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::ZERO;

    fn listening(count: usize) -> Listeners<TcpListener> {
        let mut listeners = Listeners::default();
        for _ in 0..count {
            listeners
                .listen(&"/ip4/127.0.0.1/tcp/0".parse().unwrap(), Ok)
                .unwrap();
        }
        listeners
    }

    fn ends() -> (SocketAddr, SocketAddr) {
        ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap())
    }

    #[test]
    fn links_are_accepted_with_the_addresses_of_their_ends_until_none_waits() {
        let mut listeners = Listeners::default();
        let addr = "/ip4/127.0.0.1/tcp/0/ws".parse().unwrap();
        let addr = listeners.listen(&addr, Ok).unwrap();
        let socket = TcpStream::connect(to_socket(&addr).unwrap()).unwrap();
        let accepted = loop {
            let accepted = listeners.accept(NOW, |listener: &mut TcpListener| {
                let (socket, remote) = listener.accept()?;
                let local = socket.local_addr()?;
                Ok((socket, local, remote))
            });
            if !accepted.is_empty() {
                break accepted;
            }
        };
        let ends: Vec<_> = accepted
            .into_iter()
            .map(|(_, local, remote)| (local, remote))
            .collect();
        assert_eq!(ends, [(addr, to_multiaddr(socket.local_addr().unwrap()))]);
        assert_eq!(listeners.poll_timeout(), None);
    }

    #[test]
    fn after_a_failed_accept_all_rest_and_a_link_that_is_gone_is_no_failure() {
        let mut listeners = listening(2);
        let mut answers = [
            ErrorKind::ConnectionAborted,
            ErrorKind::WouldBlock,
            ErrorKind::Other,
        ]
        .into_iter();
        let none = listeners.accept::<()>(NOW, |_| Err(answers.next().unwrap().into()));
        assert!(none.is_empty() && answers.next().is_none());
        assert_eq!(listeners.poll_timeout(), Some(NOW + REST));
        assert!(listeners.accept::<()>(NOW, |_| panic!("they rest")).is_empty());
        listeners.wake();
        assert_eq!(listeners.poll_timeout(), Some(NOW));
        let mut left = 1;
        let mut accept = |_: &mut TcpListener| {
            left -= 1;
            let (local, remote) = ends();
            (left >= 0)
                .then_some(((), local, remote))
                .ok_or_else(|| ErrorKind::WouldBlock.into())
        };
        assert_eq!(listeners.accept(NOW, &mut accept).len(), 1);
        assert_eq!(listeners.poll_timeout(), None);
    }

    #[test]
    fn of_a_crowd_a_part_is_accepted_and_the_rest_without_waiting() {
        let mut listeners = listening(1);
        let endless = listeners.accept(NOW, |_| Ok(((), ends().0, ends().1)));
        assert_eq!((endless.len(), listeners.poll_timeout()), (BATCH, Some(NOW)));
        listeners.close();
        assert_eq!(listeners.poll_timeout(), None);
        assert!(
            listeners
                .accept::<()>(NOW, |_| panic!("nobody listens"))
                .is_empty()
        );
    }

    #[test]
    fn only_addresses_of_tcp_are_listened_on_and_dialed() {
        let udp: Multiaddr = "/ip4/127.0.0.1/udp/1".parse().unwrap();
        let mut listeners = listening(0);
        assert!(matches!(listeners.listen(&udp, Ok), Err(Error::NotTcp(addr)) if addr == udp));
        assert_eq!(listeners.connect(&udp, true).unwrap_err(), "unsupported");
    }
}
