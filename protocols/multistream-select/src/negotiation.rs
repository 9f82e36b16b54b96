//! The machine, in both roles.

use crate::{
    Error, Limits,
    line::{self, Lines, Step},
};
use alloc::{string::String, vec::Vec};
use libp2p_proto_core::{ProtocolName, Side, TransmitBuf};

const HEADER: &str = "/multistream/1.0.0";
const NOT_AVAILABLE: &str = "na";

/// The names of one negotiation, lent for each call: a dialer proposes them in order, a listener looks them up. They may change between calls; a listener decides by
/// what it is lent when the proposal comes.
pub trait Names {
    /// The name at this place: what a dialer proposes, and what a listener echoes where it is the very name that was proposed.
    fn name(&self, place: usize) -> Option<&ProtocolName>;

    /// The place of the name that a dialer proposed, if we accept it. An exact match is the rule; a predicate is as good.
    fn place(&self, proposed: &str) -> Option<usize>;
}

impl<const N: usize> Names for [ProtocolName; N] {
    fn name(&self, place: usize) -> Option<&ProtocolName> {
        self.get(place)
    }

    fn place(&self, proposed: &str) -> Option<usize> {
        self.iter().position(|name| name.as_str() == proposed)
    }
}

impl Names for &[ProtocolName] {
    fn name(&self, place: usize) -> Option<&ProtocolName> {
        self.get(place)
    }

    fn place(&self, proposed: &str) -> Option<usize> {
        self.iter().position(|name| name.as_str() == proposed)
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
    owed: Owed,
    /// Whether their header has come.
    greeted: bool,
    max_refusals: u8,
}

#[derive(Debug)]
enum State {
    /// Proposing the name at this place.
    Proposing {
        place: usize,
        sent: bool,
    },
    /// Waiting for a proposal that we accept; so many were refused.
    Answering {
        refused: u8,
    },
    /// The echo is to leave; `line` is there if it is not the name at that place.
    Echoing {
        place: usize,
        line: Option<String>,
    },
    Agreed {
        place: usize,
    },
    Refused,
    Failed(Error),
}

/// What has to leave ahead of anything else.
#[derive(Debug)]
struct Owed {
    header: bool,
    refusals: u8,
}

impl Owed {
    const NOTHING: Self = Self {
        header: false,
        refusals: 0,
    };

    const fn is_nothing(&self) -> bool {
        !self.header && self.refusals == 0
    }

    /// Appends what fits, and says whether that was all.
    fn write(&mut self, out: &mut TransmitBuf<'_>) -> bool {
        if self.header {
            self.header = !line::write(HEADER, out);
        }
        while !self.header && self.refusals > 0 && line::write(NOT_AVAILABLE, out) {
            self.refusals = self.refusals.saturating_sub(1);
        }
        self.is_nothing()
    }
}

impl Negotiation {
    /// The side that proposes.
    pub const fn dialer() -> Self {
        Self::of(Side::Dialer)
    }

    /// The side that answers.
    pub const fn listener() -> Self {
        Self::of(Side::Listener)
    }

    /// The role of one end of a connection, with the default limits.
    pub const fn of(side: Side) -> Self {
        Self::new(side, Limits::DEFAULT)
    }

    /// The same with other limits.
    ///
    /// # Errors
    ///
    /// [`Error::BadLimit`].
    pub const fn with_limits(side: Side, limits: Limits) -> Result<Self, Error> {
        match limits.validate() {
            Ok(()) => Ok(Self::new(side, limits)),
            Err(error) => Err(error),
        }
    }

    const fn new(side: Side, limits: Limits) -> Self {
        Self {
            lines: Lines::new(limits.message),
            state: match side {
                Side::Dialer => State::Proposing {
                    place: 0,
                    sent: false,
                },
                Side::Listener => State::Answering { refused: 0 },
            },
            owed: Owed {
                header: true,
                refusals: 0,
            },
            greeted: false,
            max_refusals: limits.refusals,
        }
    }

    /// How it stands. An [`Outcome::Agreed`] of a listener may still have to send its echo.
    pub const fn outcome(&self) -> Outcome {
        match self.state {
            State::Agreed { place } | State::Echoing { place, .. } => Outcome::Agreed(place),
            State::Refused => Outcome::Refused,
            _ => Outcome::Pending,
        }
    }

    /// Whether nothing more will be sent in this protocol.
    pub const fn is_drained(&self) -> bool {
        match self.state {
            State::Agreed { .. } | State::Failed(_) => true,
            State::Refused => self.owed.is_nothing(),
            _ => false,
        }
    }

    /// For a dialer that is allowed to be lazy: whether the proposal has left and is the last one, so that data may follow it now.
    pub fn may_write(&self, names: &impl Names) -> bool {
        match self.state {
            State::Proposing { place, sent } => sent && names.name(place.saturating_add(1)).is_none(),
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

    /// Bytes of an incomplete message that are held; at most a message.
    pub fn buffered(&self) -> usize {
        self.lines.buffered()
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
                State::Refused => return Ok(input.len()),
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
                    State::Answering { refused: 1.. } => self.state = State::Refused,
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
            State::Agreed { .. } | State::Echoing { .. } | State::Refused => Ok(()),
            State::Answering { refused: 1.. } => {
                self.state = State::Refused;
                Ok(())
            }
            State::Failed(error) => Err(error),
            State::Proposing { .. } | State::Answering { .. } => self.fail(Error::UnexpectedEnd).map(|_| ()),
        }
    }

    fn fail(&mut self, error: Error) -> Result<usize, Error> {
        self.owed = Owed::NOTHING;
        self.state = State::Failed(error);
        Err(error)
    }

    fn handle_line(&mut self, text: &[u8], names: &impl Names) -> Result<(), Error> {
        let is_header = text == HEADER.as_bytes();
        if !self.greeted {
            self.greeted = true;
            return if is_header {
                Ok(())
            } else {
                Err(Error::NotMultistream)
            };
        }
        match self.state {
            // Some listeners say their header again.
            State::Proposing { .. } if is_header => Ok(()),
            State::Proposing { place, sent: true } => self.hear_answer(text, place, names),
            // Nothing was asked.
            State::Proposing { .. } => Err(Error::UnexpectedReply),
            State::Answering { .. } if is_header => Err(Error::SecondHeader),
            State::Answering { refused } => self.answer(text, refused, names),
            _ => Ok(()),
        }
    }

    fn hear_answer(&mut self, text: &[u8], place: usize, names: &impl Names) -> Result<(), Error> {
        let proposed = names.name(place).map(ProtocolName::as_str);
        if proposed.is_some_and(|name| text == name.as_bytes()) {
            self.state = State::Agreed { place };
        } else if text == NOT_AVAILABLE.as_bytes() {
            let place = place.saturating_add(1);
            self.state = match names.name(place) {
                Some(_) => State::Proposing { place, sent: false },
                None => State::Refused,
            };
        } else {
            return Err(Error::UnexpectedReply);
        }
        Ok(())
    }

    fn answer(&mut self, text: &[u8], refused: u8, names: &impl Names) -> Result<(), Error> {
        let proposed = core::str::from_utf8(text).ok();
        let found = proposed.and_then(|name| names.place(name).map(|place| (name, place)));
        if let Some((name, place)) = found {
            let is_exact = names.name(place).is_some_and(|own| own.as_str() == name);
            let line = (!is_exact).then(|| String::from(name));
            self.state = State::Echoing { place, line };
            return Ok(());
        }
        if refused >= self.max_refusals {
            return Err(Error::TooManyProposals);
        }
        self.owed.refusals = self.owed.refusals.saturating_add(1);
        self.state = State::Answering {
            refused: refused.saturating_add(1),
        };
        Ok(())
    }

    /// Appends what is due and fits; says whether anything was appended. The header leaves in one piece with the first proposal, or with what a listener has to answer by then.
    pub fn poll_transmit(&mut self, names: &impl Names, out: &mut TransmitBuf<'_>) -> bool {
        let before = out.len();
        match &self.state {
            State::Proposing { place, sent: false } => self.propose(*place, names, out),
            State::Answering { .. } | State::Refused => {
                self.owed.write(out);
            }
            State::Echoing { place, line } if self.owed.write(out) => {
                let name = names.name(*place).map(ProtocolName::as_str);
                if line::write(line.as_deref().or(name).unwrap_or_default(), out) {
                    self.state = State::Agreed { place: *place };
                }
            }
            _ => {}
        }
        out.len() > before
    }

    fn propose(&mut self, place: usize, names: &impl Names, out: &mut TransmitBuf<'_>) {
        let Some(name) = names.name(place).map(ProtocolName::as_str) else {
            // There is nothing to propose.
            self.owed = Owed::NOTHING;
            self.state = State::Refused;
            return;
        };
        let header = if self.owed.header { line::size(HEADER) } else { 0 };
        if header.saturating_add(line::size(name)) <= out.remaining() {
            let sent = self.owed.write(out) && line::write(name, out);
            self.state = State::Proposing { place, sent };
        }
    }
}
