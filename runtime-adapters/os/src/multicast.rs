//! Discovery on the sockets of the operating system: what is the same for every loop.

use crate::{Entropy, Error};
use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    time::Duration,
};
use libp2p_proto_core::{Instant, Multiaddr, PeerId, TransmitBuf};
use libp2p_proto_mdns::{
    self as mdns, Event, Family, GROUP4, GROUP6, Interface, MAX_DATAGRAM, Mdns, PORT, Received,
};
use libp2p_proto_swarm::{AddressBook, Source};
use socket2::{Domain, Socket, Type};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, ErrorKind},
    net::UdpSocket,
};

/// How often the interfaces are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Datagrams that are read from one socket before others have their turn.
const BATCH: usize = 64;
/// Time to live and hop limit of what is sent (RFC 6762, § 11).
const HOPS: u32 = 255;

/// How a node makes itself known on its links.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Names, times and limits.
    pub mdns: mdns::Config,
    /// The names of the interfaces that are used. Default: none are named, which means all of them. What is sent on the loopback interface stays on this machine.
    pub interfaces: Vec<String>,
}

/// A loop's sockets of UDP.
pub trait Udp {
    /// A socket that the loop watches.
    type Socket;

    /// Takes over a socket that does not block.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn open(&mut self, socket: UdpSocket) -> io::Result<Self::Socket>;

    /// Reads a datagram. After [`ErrorKind::WouldBlock`] the loop is woken once there is one.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn receive(&mut self, socket: &mut Self::Socket, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)>;

    /// Sends a datagram, or loses it.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn send(&mut self, socket: &mut Self::Socket, datagram: &[u8], to: SocketAddr) -> io::Result<usize>;

    /// A socket is of no use any more.
    fn close(&mut self, socket: Self::Socket) {
        drop(socket);
    }
}

/// The machine, its interfaces and their sockets: one for each family of each interface, which stands on the group's address and has joined it there alone. Other
/// programs may use the port at the same time.
pub struct Multicast<S> {
    machine: Mdns,
    interfaces: Vec<String>,
    sockets: BTreeMap<(u32, Family), S>,
    seen: BTreeMap<u32, Vec<(IpAddr, u8)>>,
    /// When to look at the interfaces again.
    look_at: Instant,
    listening: Vec<Multiaddr>,
    /// Whether something may have come.
    heard: bool,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl<S> fmt::Debug for Multicast<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Multicast({} sockets)", self.sockets.len())
    }
}

impl<S> Multicast<S> {
    /// Makes `local` known, from the first turn on.
    ///
    /// # Errors
    ///
    /// A limit is out of its range, a name is none, or there is no entropy.
    pub fn new(local: PeerId, config: Discovery, entropy: Entropy) -> Result<Self, Error> {
        let mut machine = Mdns::new(local, config.mdns, entropy.draw()?)?;
        machine.start(Instant::ZERO);
        Ok(Self {
            machine,
            interfaces: config.interfaces,
            sockets: BTreeMap::new(),
            seen: BTreeMap::new(),
            look_at: Instant::ZERO,
            listening: Vec::new(),
            heard: true,
            input: vec![0; MAX_DATAGRAM.saturating_add(1)],
            output: Vec::new(),
        })
    }

    /// The machine, for its getters.
    pub const fn machine(&self) -> &Mdns {
        &self.machine
    }

    /// When to turn although nothing has come.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = self.machine.poll_timeout().map(|deadline| deadline.at);
        let look = self.machine.is_running().then_some(self.look_at);
        let heard = self.heard.then_some(Instant::ZERO);
        due.into_iter().chain(look).chain(heard).min()
    }

    /// Something may have come: the next turn reads.
    pub const fn wake(&mut self) {
        self.heard = true;
    }

    /// The next thing that was found, or is gone. What was found is in `book` from then on: others speak of a peer, which proves nothing, so it takes nothing
    /// away and is kept for the shortest time. While nobody asks, nothing more is found.
    pub fn poll_event(&mut self, now: Instant, book: &mut AddressBook) -> Option<Event> {
        let event = self.machine.poll_event()?;
        if let Event::Discovered { peer, addrs, .. } = &event {
            for addr in addrs {
                book.add(now, *peer, addr.clone(), Source::Heard);
            }
        }
        Some(event)
    }

    /// Reads what has come and sends what is due, of a node that listens at `addrs`.
    pub fn turn<'a, U: Udp<Socket = S>>(
        &mut self,
        now: Instant,
        addrs: impl Iterator<Item = &'a Multiaddr> + Clone,
        udp: &mut U,
    ) {
        if !addrs.clone().eq(&self.listening) {
            self.listening = addrs.cloned().collect();
            self.machine.set_addresses(now, self.listening.iter().cloned());
        }
        if self.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        if self.machine.is_running() && self.look_at <= now {
            self.look_at = now + LOOK;
            self.look(now, udp);
        }
        self.heard = self.read(now, udp);
        self.machine.handle_timeout(now);
        self.send(now, udp);
    }

    /// Reads what has come. Says whether there may be more.
    fn read<U: Udp<Socket = S>>(&mut self, now: Instant, udp: &mut U) -> bool {
        let mut more = false;
        for ((interface, family), socket) in &mut self.sockets {
            let to = match family {
                Family::Ip4 => IpAddr::V4(GROUP4),
                Family::Ip6 => IpAddr::V6(GROUP6),
            };
            let interface = *interface;
            more |= (0..BATCH).all(|_| match udp.receive(socket, &mut self.input) {
                Ok((len, from)) => {
                    let datagram = self.input.get(..len).unwrap_or_default();
                    let received = Received { interface, from, to };
                    // What is not of this link, or no message, is counted there.
                    let _dropped = self.machine.handle_datagram(now, &received, datagram);
                    true
                }
                Err(error) => error.kind() == ErrorKind::Interrupted,
            });
        }
        more
    }

    /// Says goodbye and falls silent.
    pub fn stop<U: Udp<Socket = S>>(&mut self, now: Instant, udp: &mut U) {
        self.machine.stop(now);
        self.send(now, udp);
        for (_, socket) in core::mem::take(&mut self.sockets) {
            udp.close(socket);
        }
    }

    fn send<U: Udp<Socket = S>>(&mut self, now: Instant, udp: &mut U) {
        loop {
            self.output.clear();
            let mut out = TransmitBuf::new(&mut self.output, MAX_DATAGRAM);
            let Some(transmit) = self.machine.poll_transmit(now, &mut out) else {
                return;
            };
            let link = (transmit.interface, Family::of(transmit.to.ip()));
            if let Some(socket) = self.sockets.get_mut(&link) {
                // A datagram may be lost anywhere, and all that is said is said again.
                let _lost = udp.send(socket, &self.output, transmit.to);
            }
        }
    }

    /// Follows the interfaces as they come, change and go.
    fn look<U: Udp<Socket = S>>(&mut self, now: Instant, udp: &mut U) {
        // Without the list things stay as they are.
        let Ok(list) = if_addrs::get_if_addrs() else {
            return;
        };
        let found = usable(&list, &self.interfaces);
        let gone: BTreeSet<u32> = self
            .seen
            .iter()
            .filter(|(id, addrs)| found.get(id) != Some(addrs))
            .map(|(id, _)| *id)
            .collect();
        let links: Vec<_> = self.sockets.keys().copied().collect();
        for link in links.into_iter().filter(|(id, _)| gone.contains(id)) {
            if let Some(socket) = self.sockets.remove(&link) {
                udp.close(socket);
            }
        }
        for id in gone.iter().filter(|id| !found.contains_key(id)) {
            self.machine.handle_interface_down(now, *id);
        }
        for (id, addrs) in &found {
            if self.seen.get(id) == Some(addrs) {
                continue;
            }
            let mut families = Vec::new();
            for family in [Family::Ip4, Family::Ip6] {
                let opened = join(*id, addrs, family).and_then(|socket| udp.open(socket));
                if let Ok(socket) = opened {
                    self.sockets.insert((*id, family), socket);
                    families.push(family);
                }
            }
            let interface = Interface {
                id: *id,
                addrs: addrs.clone(),
                families,
            };
            // More interfaces than there may be are not used.
            let _too_many = self.machine.handle_interface(now, interface);
        }
        self.seen = found;
    }
}

/// The interfaces that are up and wanted, with their addresses.
fn usable(list: &[if_addrs::Interface], wanted: &[String]) -> BTreeMap<u32, Vec<(IpAddr, u8)>> {
    let mut found: BTreeMap<u32, Vec<(IpAddr, u8)>> = BTreeMap::new();
    for interface in list {
        let wanted = wanted.is_empty() || wanted.contains(&interface.name);
        let down = interface.oper_status == if_addrs::IfOperStatus::Down;
        let bits = match &interface.addr {
            if_addrs::IfAddr::V4(addr) => addr.prefixlen,
            if_addrs::IfAddr::V6(addr) => addr.prefixlen,
        };
        if let Some(id) = interface.index.filter(|_| !down && wanted) {
            found.entry(id).or_default().push((interface.ip(), bits));
        }
    }
    found
}

/// A socket on the group of a family, joined on one interface.
fn join(id: u32, addrs: &[(IpAddr, u8)], family: Family) -> io::Result<UdpSocket> {
    let ip = addrs
        .iter()
        .map(|(ip, _)| *ip)
        .find(|ip| Family::of(*ip) == family);
    let ip = ip.ok_or(ErrorKind::AddrNotAvailable)?;
    let domain = match family {
        Family::Ip4 => Domain::IPV4,
        Family::Ip6 => Domain::IPV6,
    };
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    match ip {
        IpAddr::V4(ip) => {
            // On the group itself, so that it takes no unicast datagram from others who share the port; where the system does not allow that, everywhere.
            let at = if cfg!(unix) { GROUP4 } else { Ipv4Addr::UNSPECIFIED };
            socket.bind(&SocketAddr::from((at, PORT)).into())?;
            socket.join_multicast_v4(&GROUP4, &ip)?;
            socket.set_multicast_if_v4(&ip)?;
            socket.set_multicast_ttl_v4(HOPS)?;
            socket.set_ttl_v4(HOPS)?;
            socket.set_multicast_loop_v4(true)?;
            // Otherwise it would hear what others have joined on other interfaces.
            #[cfg(target_os = "linux")]
            socket.set_multicast_all_v4(false)?;
        }
        IpAddr::V6(_) => {
            let at = if cfg!(unix) { GROUP6 } else { Ipv6Addr::UNSPECIFIED };
            socket.set_only_v6(true)?;
            socket.bind(&SocketAddr::from(SocketAddrV6::new(at, PORT, 0, id)).into())?;
            socket.join_multicast_v6(&GROUP6, id)?;
            socket.set_multicast_if_v6(id)?;
            socket.set_multicast_hops_v6(HOPS)?;
            socket.set_unicast_hops_v6(HOPS)?;
            socket.set_multicast_loop_v6(true)?;
        }
    }
    Ok(socket.into())
}
