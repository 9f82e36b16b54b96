#![doc = include_str!("../README.md")]

mod carrier;
mod farewell;
mod foundation;
mod listeners;
#[cfg(feature = "mdns")]
mod multicast;

pub use carrier::Carrier;
pub use farewell::{Farewell, Parting};
pub use foundation::{Error, Foundation};
#[cfg(feature = "mdns")]
pub use libp2p_proto_mdns as mdns;
pub use listeners::Listeners;
#[cfg(feature = "mdns")]
pub use multicast::{Discovery, Multicast, Udp};

use core::time::Duration;
use libp2p_proto_core::{Component, Instant, Multiaddr, UnixTime};
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener, TcpStream},
    time,
};

/// Connections that the operating system holds for us before it refuses.
const BACKLOG: i32 = 1024;

/// The monotonic clock of the machine, counted from the start of a node.
#[derive(Clone, Copy, Debug)]
pub struct Clock(time::Instant);

#[expect(clippy::disallowed_methods, reason = "an adapter is where time comes from")]
impl Clock {
    /// A clock that stands at zero.
    pub fn start() -> Self {
        Self(time::Instant::now())
    }

    /// The time since the start, in nanoseconds; it stops after 584 years.
    pub fn now(self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    /// The system's name for an instant of ours. `None`: beyond the range of its clock.
    pub fn to_std(self, at: Instant) -> Option<time::Instant> {
        self.0.checked_add(Duration::from_nanos(at.as_nanos()))
    }

    /// The wall clock, which may step; zero while it stands before 1970.
    pub fn unix() -> UnixTime {
        let since = time::SystemTime::now().duration_since(time::UNIX_EPOCH);
        UnixTime::from_secs(0) + since.unwrap_or_default()
    }
}

/// Where keys and dice come from. Default: the operating system.
#[derive(Clone, Copy, Debug)]
pub struct Entropy(pub fn(&mut [u8]) -> Result<(), getrandom::Error>);

impl Default for Entropy {
    fn default() -> Self {
        Self(getrandom::fill)
    }
}

impl Entropy {
    /// 32 bytes that nobody can guess.
    ///
    /// # Errors
    ///
    /// The source refuses. Then no machine may be built.
    pub fn draw(self) -> Result<[u8; 32], getrandom::Error> {
        let mut bytes = [0; 32];
        (self.0)(&mut bytes)?;
        Ok(bytes)
    }
}

/// `/ip4|ip6/…/tcp/…` of a socket. An IPv4 address in an IPv6 one is named as what it is.
pub fn to_multiaddr(addr: SocketAddr) -> Multiaddr {
    Multiaddr::tcp(addr.ip().to_canonical(), addr.port())
}

/// The same, with `/ws` behind it if `like` has that.
pub fn to_multiaddr_like(addr: SocketAddr, like: &Multiaddr) -> Multiaddr {
    let socket = to_multiaddr(addr);
    let websocket = like.websocket().and_then(|_| socket.with(Component::Ws).ok());
    websocket.unwrap_or(socket)
}

/// The socket of `/ip4|ip6/…/tcp/…`, with nothing behind it but `/ws` and the peer's id.
pub fn to_socket(addr: &Multiaddr) -> Option<SocketAddr> {
    let addr = addr.split_peer_id().0?;
    let (ip, port) = addr.socket_tcp()?;
    let plain = addr.components().count() == 2 || addr.websocket().is_some();
    plain.then(|| SocketAddr::new(ip, port))
}

/// A listening socket that does not block, whose address can be used again at once after a restart; IPv6 alone, so that both families can listen on one port.
///
/// # Errors
///
/// What the operating system says.
pub fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Elsewhere than on Unix the option lets others take the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    // From now on our own dials may begin here too. Another listener still may not take the port: it would have to say so when it binds.
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    Ok(socket.into())
}

/// Begins to connect: the socket does not block, and is writable once its fate is decided. With addresses of listeners it begins at the port of one of them, so that a NAT
/// on the way maps this link as it maps the listener's; if none fits, or its port can't be used for this link (because one to the same address stands already, for
/// example), at any port.
///
/// # Errors
///
/// What the operating system says.
pub fn connect<'a>(
    listening: impl IntoIterator<Item = &'a Multiaddr>,
    remote: SocketAddr,
) -> io::Result<TcpStream> {
    let plain = listening.into_iter().filter(|addr| addr.websocket().is_none());
    let shared = origin(plain.filter_map(to_socket), remote);
    match shared.map(|local| connect_at(Some(local), remote)) {
        Some(Ok(socket)) => Ok(socket),
        _ => connect_at(None, remote),
    }
}

/// Where a dial to `remote` may begin: at a listener of its family, which is anywhere, or on the loopback interface if and only if the remote is.
fn origin(listening: impl Iterator<Item = SocketAddr>, remote: SocketAddr) -> Option<SocketAddr> {
    let fit = |local: &SocketAddr| {
        let anywhere = local.ip().is_unspecified();
        local.is_ipv4() == remote.is_ipv4()
            && (anywhere || local.ip().is_loopback() == remote.ip().is_loopback())
    };
    // One that is anywhere leaves the choice of the interface to the system.
    listening
        .filter(fit)
        .max_by_key(|local| local.ip().is_unspecified())
}

fn connect_at(local: Option<SocketAddr>, remote: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(remote), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let Some(local) = local {
        share_port(&socket)?;
        socket.bind(&local.into())?;
    }
    match socket.connect(&remote.into()) {
        Err(error) if !is_begun(&error) => Err(error),
        _ => Ok(socket.into()),
    }
}

#[cfg(unix)]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)
}

/// Elsewhere than on Unix a port is not shared.
#[cfg(not(unix))]
fn share_port(_: &Socket) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Whether the fate of a connection is decided later.
fn is_begun(error: &io::Error) -> bool {
    #[cfg(unix)]
    let begun = error.raw_os_error() == Some(libc::EINPROGRESS);
    #[cfg(not(unix))]
    let begun = error.kind() == ErrorKind::WouldBlock;
    begun
}

/// One word for an error of the operating system.
pub fn code(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::ConnectionRefused => "refused",
        ErrorKind::ConnectionReset => "reset",
        ErrorKind::ConnectionAborted => "aborted",
        ErrorKind::HostUnreachable => "host-unreachable",
        ErrorKind::NetworkUnreachable => "network-unreachable",
        ErrorKind::AddrNotAvailable => "address-not-available",
        ErrorKind::TimedOut => "timed-out",
        ErrorKind::BrokenPipe => "broken-pipe",
        _ => "io",
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Entropy, code, connect, listen, origin, to_multiaddr, to_multiaddr_like, to_socket};
    use libp2p_proto_core::Instant;
    use std::io::ErrorKind;

    // covers: SIM-17
    #[test]
    fn refused_entropy_is_an_error_and_yields_no_bytes() {
        let refused = Entropy(|_| Err(getrandom::Error::UNSUPPORTED));
        assert_eq!(refused.draw(), Err(getrandom::Error::UNSUPPORTED));
        let drawn = Entropy::default();
        assert_ne!(drawn.draw().unwrap(), drawn.draw().unwrap());
    }

    #[test]
    fn only_an_address_of_tcp_with_at_most_ws_and_a_peer_id_behind_it_names_a_socket() {
        let socket = |text: &str| to_socket(&text.parse().unwrap()).map(|addr| addr.to_string());
        let id = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        assert_eq!(socket("/ip4/127.0.0.1/tcp/80").unwrap(), "127.0.0.1:80");
        assert_eq!(socket(&format!("/ip6/::1/tcp/80/p2p/{id}")).unwrap(), "[::1]:80");
        assert_eq!(socket("/ip4/127.0.0.1/tcp/80/ws").unwrap(), "127.0.0.1:80");
        assert_eq!(
            socket(&format!("/ip6/::1/tcp/80/ws/p2p/{id}")).unwrap(),
            "[::1]:80"
        );
        for other in [
            "/ip4/1.2.3.4/tcp/80/tls",
            "/ip4/1.2.3.4/tcp/80/tls/ws",
            "/ip4/1.2.3.4/tcp/80/wss",
            "/ip4/1.2.3.4/ws",
            "/ip4/1.2.3.4/udp/80",
            "/dns/a/tcp/80",
            "/ip4/1.2.3.4",
        ] {
            assert_eq!(socket(other), None, "{other}");
        }
    }

    #[test]
    fn a_mapped_address_is_named_as_the_one_it_maps() {
        let addr = to_multiaddr("[::ffff:1.2.3.4]:5".parse().unwrap());
        assert_eq!(addr.to_string(), "/ip4/1.2.3.4/tcp/5");
    }

    #[test]
    fn the_socket_of_a_listener_is_named_as_the_listener_is() {
        let like = |text: &str| {
            to_multiaddr_like("127.0.0.1:5".parse().unwrap(), &text.parse().unwrap()).to_string()
        };
        assert_eq!(like("/ip4/0.0.0.0/tcp/0"), "/ip4/127.0.0.1/tcp/5");
        assert_eq!(like("/ip4/0.0.0.0/tcp/0/ws"), "/ip4/127.0.0.1/tcp/5/ws");
    }

    #[test]
    fn a_port_where_one_node_listens_is_not_another_ones() {
        let first = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let again = listen(first.local_addr().unwrap());
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    // covers: DCU-042
    #[cfg(unix)]
    #[test]
    fn a_dial_begins_at_the_port_of_the_listener_and_not_twice_to_the_same_address() {
        let [ours, theirs] = ["127.0.0.1:0"; 2].map(|addr| listen(addr.parse().unwrap()).unwrap());
        let (local, remote) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
        let listening = [to_multiaddr(local)];
        let from = |socket: std::net::TcpStream| socket.local_addr().unwrap();
        let socket = connect(&listening, remote).unwrap();
        assert_eq!(from(socket.try_clone().unwrap()), local);
        theirs.set_nonblocking(false).unwrap();
        let (_accepted, accepted_from) = theirs.accept().unwrap();
        assert_eq!(accepted_from, local);
        let again = connect(&listening, remote).unwrap();
        assert_ne!(from(again), local, "the two ends are taken");
        let websocket = [to_multiaddr_like(
            local,
            &"/ip4/127.0.0.1/tcp/0/ws".parse().unwrap(),
        )];
        drop(socket);
        assert_ne!(from(connect(&websocket, remote).unwrap()), local);
        assert_ne!(from(connect([], remote).unwrap()), local);
    }

    // covers: DCU-045
    #[cfg(unix)]
    #[test]
    fn dials_that_came_to_nothing_leave_both_ends_to_the_next_one() {
        let [ours, theirs] = ["127.0.0.1:0"; 2].map(|addr| listen(addr.parse().unwrap()).unwrap());
        let (local, remote) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
        let listening = [to_multiaddr(local)];
        drop(theirs);
        for _ in 0..3 {
            // Refused now, or once the socket is asked.
            drop(connect(&listening, remote));
        }
        let _theirs = listen(remote).unwrap();
        let socket = connect(&listening, remote).unwrap();
        assert_eq!(socket.local_addr().unwrap(), local);
    }

    #[test]
    fn a_dial_begins_at_a_listener_of_its_family_and_its_reach() {
        let origin = |listening: &[&str], remote: &str| {
            let listening: Vec<_> = listening.iter().map(|addr| addr.parse().unwrap()).collect();
            origin(listening.into_iter(), remote.parse().unwrap()).map(|addr| addr.to_string())
        };
        let public = "198.51.100.7:1";
        assert_eq!(origin(&["127.0.0.1:9"], public), None);
        assert_eq!(origin(&["[::]:9"], public), None);
        assert_eq!(
            origin(&["127.0.0.1:9", "10.0.0.2:8"], public).unwrap(),
            "10.0.0.2:8"
        );
        assert_eq!(origin(&["0.0.0.0:9", "10.0.0.2:8"], public).unwrap(), "0.0.0.0:9");
        assert_eq!(origin(&["10.0.0.2:8"], "127.0.0.1:1"), None);
        assert_eq!(origin(&["[::]:9"], "[2001:db8::1]:1").unwrap(), "[::]:9");
    }

    #[test]
    fn both_families_listen_on_one_port() {
        let six = listen("[::1]:0".parse().unwrap()).unwrap();
        let port = six.local_addr().unwrap().port();
        let four = listen(([127, 0, 0, 1], port).into()).unwrap();
        assert_eq!(four.local_addr().unwrap().port(), port);
    }

    #[test]
    fn a_clock_goes_on_from_zero_and_names_instants_for_the_system() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first <= clock.now());
        assert!(clock.to_std(Instant::ZERO) <= clock.to_std(first));
    }

    #[test]
    fn errors_are_said_in_one_word() {
        assert_eq!(code(&ErrorKind::ConnectionRefused.into()), "refused");
        assert_eq!(code(&ErrorKind::WouldBlock.into()), "io");
    }
}
