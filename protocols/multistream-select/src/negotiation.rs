//! The machine, in both roles.

use crate::{
    Error,
    line::{self, Lines, Step},
};
use alloc::{string::String, vec::Vec};
use libp2p_proto_core::{Side, TransmitBuf};

const HEADER: &str = "/multistream/1.0.0";
const NOT_AVAILABLE: &str = "na";

/// Proposals that a listener refuses on one stream before it ends the negotiation.
pub const MAX_PROPOSALS: u8 = 32;

/// The names of one negotiation, lent for each call: a dialer proposes them in order, a listener looks them up.
pub trait Names {
    /// The name at this place: what a dialer proposes, and what a listener echoes where it is the very name that was proposed.
    fn name(&self, place: usize) -> Option<&str>;

    /// The place of the name that a dialer proposed, if we accept it.
    fn place(&self, proposed: &str) -> Option<usize>;
}

impl<S: AsRef<str>, const N: usize> Names for [S; N] {
    fn name(&self, place: usize) -> Option<&str> {
        self.get(place).map(AsRef::as_ref)
    }

    fn place(&self, proposed: &str) -> Option<usize> {
        self.iter().position(|name| name.as_ref() == proposed)
    }
}

impl<S: AsRef<str>> Names for &[S] {
    fn name(&self, place: usize) -> Option<&str> {
        self.get(place).map(AsRef::as_ref)
    }

    fn place(&self, proposed: &str) -> Option<usize> {
        self.iter().position(|name| name.as_ref() == proposed)
    }
}

/// How a negotiation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not decided.
    Pending,
    /// The name at this place is agreed. What follows on the stream belongs to that protocol.
    Agreed(usize),
    /// The listener accepts none of our names, or the dialer gave up after our refusals.
    Refused,
}

/// One negotiation. Nothing in it depends on time; see the crate's page for its deadline.
///
/// After every `handle_input`, drain [`poll_transmit`](Self::poll_transmit).
#[derive(Debug)]
pub struct Negotiation {
    lines: Lines,
    state: State,
    header_sent: bool,
    header_seen: bool,
}

#[derive(Debug)]
enum State {
    /// Proposing the name at this place.
    Proposing {
        place: u16,
        sent: bool,
    },
    /// Waiting for a proposal that we accept; so many refusals were made, and so many of them have not left.
    Answering {
        refused: u8,
        unsent: u8,
    },
    /// The echo is to leave behind the refusals that have not left; `line` is there if it is not the name at that place.
    Echoing {
        place: u16,
        unsent: u8,
        line: Option<String>,
    },
    Agreed {
        place: u16,
    },
    /// The dialer gave up after our refusals, of which so many have not left.
    Refusing {
        unsent: u8,
    },
    Refused,
    Failed(Error),
}

impl Negotiation {
    /// The side that proposes.
    pub const fn dialer() -> Self {
        Self::new(State::Proposing {
            place: 0,
            sent: false,
        })
    }

    /// The side that answers.
    pub const fn listener() -> Self {
        Self::new(State::Answering {
            refused: 0,
            unsent: 0,
        })
    }

    /// The role of one end of a connection.
    pub const fn of(side: Side) -> Self {
        match side {
            Side::Dialer => Self::dialer(),
            Side::Listener => Self::listener(),
        }
    }

    const fn new(state: State) -> Self {
        Self {
            lines: Lines::new(),
            state,
            header_sent: false,
            header_seen: false,
        }
    }

    /// How it stands. An [`Outcome::Agreed`] of a listener may still have to send its echo.
    pub const fn outcome(&self) -> Outcome {
        match self.state {
            State::Agreed { place } | State::Echoing { place, .. } => Outcome::Agreed(place as usize),
            State::Refusing { .. } | State::Refused => Outcome::Refused,
            _ => Outcome::Pending,
        }
    }

    /// Whether nothing more will be sent in this protocol.
    pub const fn is_drained(&self) -> bool {
        matches!(
            self.state,
            State::Agreed { .. } | State::Refused | State::Failed(_)
        )
    }

    /// For a dialer that is allowed to be lazy: whether the proposal has left and is the last one, so that data may follow it now.
    pub fn may_write(&self, names: &impl Names) -> bool {
        match self.state {
            State::Proposing { place, sent } => {
                sent && names.name(usize::from(place).saturating_add(1)).is_none()
            }
            State::Agreed { .. } => true,
            _ => false,
        }
    }

    /// The name that was agreed, where a listener accepted another one than [`Names::name`] of its place (a prefix matched). To be asked
    /// before the echo has left.
    pub fn agreed_line(&self) -> Option<&str> {
        match &self.state {
            State::Echoing { line, .. } => line.as_deref(),
            _ => None,
        }
    }

    /// Takes messages from the front of `input` until a name is agreed, and answers how many bytes it took. What is behind the agreeing message is
    /// not touched.
    ///
    /// # Errors
    ///
    /// See [`Error`]; every later call gives the same error.
    pub fn handle_input(&mut self, input: &[u8], names: &impl Names) -> Result<usize, Error> {
        let mut taken = 0_usize;
        let mut scratch = Vec::new();
        loop {
            match self.state {
                State::Agreed { .. } | State::Echoing { .. } => return Ok(taken),
                // What arrives after a refusal may be an answer to early data: it means nothing.
                State::Refusing { .. } | State::Refused => return Ok(input.len()),
                State::Failed(error) => return Err(error),
                State::Proposing { .. } | State::Answering { .. } => {}
            }
            let rest = input.get(taken..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(taken);
            }
            match self.lines.next(rest, &mut scratch) {
                Ok(Step::More) => return Ok(input.len()),
                Ok(Step::Line { text, taken: len }) => {
                    taken = taken.saturating_add(len);
                    if let Err(error) = self.handle_line(text, names) {
                        return self.fail(error);
                    }
                }
                // Garbage after a refusal of ours is a dialer that gave up, not one that breaks the rules.
                Err(error) => match self.state {
                    State::Answering { refused: 1.., unsent } => self.state = State::Refusing { unsent },
                    _ => return self.fail(error),
                },
            }
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    ///
    /// [`Error::UnexpectedEnd`] if a name is neither agreed nor refused.
    pub fn handle_eof(&mut self) -> Result<(), Error> {
        match self.state {
            State::Agreed { .. } | State::Echoing { .. } | State::Refusing { .. } | State::Refused => Ok(()),
            State::Answering { refused: 1.., unsent } => {
                self.state = State::Refusing { unsent };
                Ok(())
            }
            State::Failed(error) => Err(error),
            State::Proposing { .. } | State::Answering { .. } => self.fail(Error::UnexpectedEnd).map(|_| ()),
        }
    }

    fn fail(&mut self, error: Error) -> Result<usize, Error> {
        self.state = State::Failed(error);
        Err(error)
    }

    fn handle_line(&mut self, text: &[u8], names: &impl Names) -> Result<(), Error> {
        let is_header = text == HEADER.as_bytes();
        if !self.header_seen {
            self.header_seen = true;
            return if is_header {
                Ok(())
            } else {
                Err(Error::NotMultistream)
            };
        }
        match self.state {
            State::Proposing { place, sent } => {
                let current = names.name(usize::from(place)).unwrap_or_default();
                if sent && text == current.as_bytes() {
                    self.state = State::Agreed { place };
                } else if sent && text == NOT_AVAILABLE.as_bytes() {
                    let next = place.saturating_add(1);
                    self.state = match names.name(usize::from(next)) {
                        Some(_) => State::Proposing {
                            place: next,
                            sent: false,
                        },
                        None => State::Refused,
                    };
                } else if !is_header {
                    return Err(Error::UnexpectedReply);
                }
                Ok(())
            }
            State::Answering { refused, unsent } => {
                if is_header {
                    return Err(Error::SecondHeader);
                }
                self.answer(text, names, refused, unsent)
            }
            _ => Ok(()),
        }
    }

    fn answer(&mut self, text: &[u8], names: &impl Names, refused: u8, unsent: u8) -> Result<(), Error> {
        let proposed = core::str::from_utf8(text).ok();
        let found = proposed.and_then(|name| names.place(name).map(|place| (name, place)));
        if let Some((name, place)) = found {
            let line = (names.name(place) != Some(name)).then(|| String::from(name));
            self.state = State::Echoing {
                place: u16::try_from(place).unwrap_or(u16::MAX),
                unsent,
                line,
            };
            return Ok(());
        }
        if refused >= MAX_PROPOSALS {
            return Err(Error::TooManyProposals);
        }
        self.state = State::Answering {
            refused: refused.saturating_add(1),
            unsent: unsent.saturating_add(1),
        };
        Ok(())
    }

    /// Appends what is due and fits; says whether anything was appended.
    pub fn poll_transmit(&mut self, names: &impl Names, out: &mut TransmitBuf<'_>) -> bool {
        let before = out.len();
        if matches!(self.state, State::Refused | State::Failed(_)) {
            return false;
        }
        if !self.header_sent {
            self.header_sent = line::write(HEADER, out);
            if !self.header_sent {
                return false;
            }
        }
        match &mut self.state {
            State::Proposing { place, sent } if !*sent => {
                *sent = names
                    .name(usize::from(*place))
                    .is_some_and(|name| line::write(name, out));
            }
            State::Answering { unsent, .. } => drain_refusals(unsent, out),
            State::Refusing { unsent } => {
                drain_refusals(unsent, out);
                if *unsent == 0 {
                    self.state = State::Refused;
                }
            }
            State::Echoing { place, unsent, line } => {
                drain_refusals(unsent, out);
                let name = line
                    .as_deref()
                    .or_else(|| names.name(usize::from(*place)))
                    .unwrap_or_default();
                if *unsent == 0 && line::write(name, out) {
                    self.state = State::Agreed { place: *place };
                }
            }
            _ => {}
        }
        out.len() > before
    }
}

fn drain_refusals(unsent: &mut u8, out: &mut TransmitBuf<'_>) {
    while *unsent > 0 && line::write(NOT_AVAILABLE, out) {
        *unsent = unsent.saturating_sub(1);
    }
}
