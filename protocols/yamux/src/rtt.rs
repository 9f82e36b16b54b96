//! Pings of our own: the round trip, and whether the peer lives.

use crate::{Config, Error};
use core::time::Duration;
use libp2p_proto_core::{Deadline, Instant};

/// Pongs that nobody asked for, and that are put up with between two that we did ask for.
const MAX_UNSOLICITED: u8 = 10;

#[derive(Clone, Copy, Debug)]
enum State {
    /// The next ping is due then.
    Resting(Instant),
    /// A ping is to be sent.
    Due,
    /// A ping was sent then.
    Sent(Instant),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Pinger {
    state: State,
    value: u32,
    rtt: Option<Duration>,
    unsolicited: u8,
}

impl Pinger {
    pub(crate) const fn new(value: u32) -> Self {
        Self {
            state: State::Due,
            value,
            rtt: None,
            unsolicited: 0,
        }
    }

    pub(crate) const fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// The value of the ping that is to be sent now.
    pub(crate) const fn due(&self) -> Option<u32> {
        match self.state {
            State::Due => Some(self.value),
            _ => None,
        }
    }

    pub(crate) const fn sent(&mut self, now: Instant) {
        self.state = State::Sent(now);
    }

    /// `true`: this was the answer to our ping. `false`: nobody asked for it.
    pub(crate) fn handle_pong(&mut self, now: Instant, value: u32, config: &Config) -> Result<bool, Error> {
        match self.state {
            State::Sent(at) if value == self.value => {
                self.rtt = Some(now.since(at).min(config.max_rtt));
                self.value = self.value.wrapping_add(1);
                self.state = State::Resting(now + config.ping_interval);
                self.unsolicited = 0;
                Ok(true)
            }
            _ if self.unsolicited >= MAX_UNSOLICITED => Err(Error::PongFlood),
            _ => {
                self.unsolicited = self.unsolicited.saturating_add(1);
                Ok(false)
            }
        }
    }

    /// `heard`: when the last bytes came; a peer that sends is alive, even if its pong waits behind its data.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        heard: Instant,
        config: &Config,
    ) -> Result<(), Error> {
        match self.state {
            State::Resting(at) if at <= now => {
                self.state = State::Due;
                Ok(())
            }
            State::Sent(at) if at.max(heard) + config.ping_timeout <= now => Err(Error::KeepAlive),
            _ => Ok(()),
        }
    }

    pub(crate) fn deadline(&self, heard: Instant, config: &Config) -> Option<Deadline> {
        match self.state {
            State::Resting(at) => Some(Deadline::new(at, "ping")),
            State::Sent(at) => Some(Deadline::new(at.max(heard) + config.ping_timeout, "pong")),
            // It waits for the link, as any control frame.
            State::Due => None,
        }
    }
}
