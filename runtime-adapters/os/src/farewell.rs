//! How a link is parted with, once its machine is done.

use core::time::Duration;
use libp2p_proto_core::Instant;
use std::io::{self, ErrorKind};

/// How long a link may stand after its machine is done, until the last bytes are with the kernel and the other end has ended too.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are thrown away meanwhile.
const DRAINED: usize = 16 * 1024 * 1024;
/// Of them, those of one call.
const CHUNK: usize = 64 * 1024;

/// What is to be done with the socket of a link.
#[derive(Debug)]
pub enum Parting<'a> {
    /// Say that we send no more.
    Close,
    /// Read, and throw it away; the answer is how much it was, 0 at the end.
    Read(&'a mut [u8]),
}

/// The end of a link whose machine is done. A socket that is dropped with bytes unread is reset, and what was sent last may be lost: so we say that we send no more,
/// and read until the other end says so too, for a second and 16 MiB at most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Farewell {
    until: Option<Instant>,
    said: bool,
    drained: usize,
    ended: bool,
}

impl Farewell {
    /// The other end, or the link itself, has ended: nobody is left to wait for.
    pub const fn end(&mut self) {
        self.ended = true;
    }

    /// When to ask again although nothing has happened.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// Whether the link may be dropped now. `sent`: the kernel has all that the machine had to say. `act` carries out one part on a socket that does not block;
    /// [`ErrorKind::WouldBlock`] is not yet. `scratch` may be the memory that all links share.
    pub fn is_over(
        &mut self,
        now: Instant,
        sent: bool,
        scratch: &mut Vec<u8>,
        mut act: impl FnMut(Parting<'_>) -> io::Result<usize>,
    ) -> bool {
        // What has come meanwhile is read even then: whoever was slow need not be the other end.
        let late = *self.until.get_or_insert(now + LINGER) <= now;
        if !sent {
            return late;
        }
        if !self.said && !self.ended {
            match act(Parting::Close) {
                Err(error) if is_patient(&error) => return late,
                result => self.ended = result.is_err(),
            }
        }
        self.said = true;
        if scratch.len() < CHUNK {
            scratch.resize(CHUNK, 0);
        }
        while !self.ended && self.drained < DRAINED {
            match act(Parting::Read(scratch.get_mut(..CHUNK).unwrap_or_default())) {
                Ok(n) if n > 0 => self.drained = self.drained.saturating_add(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return late,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => self.ended = true,
            }
        }
        true
    }
}

/// Whether an error only says to come again.
fn is_patient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::ZERO;

    /// A socket that answers what it is told to, and what it was asked.
    fn part(
        farewell: &mut Farewell,
        now: Instant,
        answers: &[io::Result<usize>],
    ) -> (bool, Vec<&'static str>) {
        let (mut asked, mut answers) = (Vec::new(), answers.iter());
        let over = farewell.is_over(now, true, &mut Vec::new(), |part| {
            asked.push(match part {
                Parting::Close => "close",
                Parting::Read(_) => "read",
            });
            match answers.next().unwrap() {
                Ok(n) => Ok(*n),
                Err(error) => Err(error.kind().into()),
            }
        });
        (over, asked)
    }

    fn not_yet() -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }

    #[test]
    fn we_say_that_we_send_no_more_and_wait_for_the_other_end_to_say_so() {
        let mut farewell = Farewell::default();
        assert!(!farewell.is_over(NOW, false, &mut Vec::new(), |_| panic!("not all is sent")));
        assert_eq!(
            part(&mut farewell, NOW, &[Ok(0), Ok(9), not_yet()]),
            (false, vec!["close", "read", "read"])
        );
        assert_eq!(
            part(&mut farewell, NOW, &[Ok(9), Ok(0)]),
            (true, vec!["read", "read"])
        );
    }

    #[test]
    fn nobody_is_waited_for_longer_than_a_second_or_read_for_more_than_is_fair() {
        let mut farewell = Farewell::default();
        assert!(!part(&mut farewell, NOW, &[Ok(0), not_yet()]).0);
        assert_eq!(farewell.poll_timeout(), Some(NOW + LINGER));
        let late = part(&mut farewell, NOW + LINGER, &[Ok(9), not_yet()]);
        assert_eq!(late, (true, vec!["read", "read"]));
        let mut answers = vec![Ok(0)];
        answers.resize_with(1 + DRAINED / CHUNK, || Ok(CHUNK));
        let (over, asked) = part(&mut Farewell::default(), NOW, &answers);
        assert!(over && asked.len() == answers.len());
    }

    #[test]
    fn a_link_that_has_ended_is_dropped_at_once() {
        let mut farewell = Farewell::default();
        farewell.end();
        assert_eq!(part(&mut farewell, NOW, &[]), (true, vec![]));
        let broken = Err(ErrorKind::NotConnected.into());
        assert_eq!(
            part(&mut Farewell::default(), NOW, &[broken]),
            (true, vec!["close"])
        );
    }
}
