//! What an application asked of a protocol, so that a run can be repeated.

use crate::{Reader, Words};
use alloc::{boxed::Box, collections::VecDeque, format, string::String};
use core::fmt::Debug;

/// The most commands that a journal holds. They are taken with every drive.
const MAX: usize = 65_536;

/// A text is no command of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a command of this protocol")]
pub struct BadCommand;

/// A command of the application, as it was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// The command in words, for [`Protocol::repeat`](crate::Protocol::repeat).
    pub command: String,
    /// The debug text of what it gave, for a command that takes something out of the protocol: an event, or bytes.
    pub gave: Option<String>,
}

/// Where a protocol notes its commands, each before it has effects. Nothing is noted, and nothing costs, until somebody [starts](Self::start) it.
///
/// Inputs, and these commands between them, are all that decides what a protocol does; taking an event is a command too, since it makes room for another one. At most 65,536
/// commands wait; what is more is lost, and [`take_lost`](Self::take_lost) says so.
#[derive(Clone, Debug, Default)]
pub struct Journal(Option<Box<Notes>>);

#[derive(Clone, Debug, Default)]
struct Notes {
    waiting: VecDeque<Noted>,
    lost: bool,
}

impl Journal {
    /// A journal that nobody has started.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Notes from now on. One that does already goes on.
    pub fn start(&mut self) {
        self.0.get_or_insert_default();
    }

    /// Notes a command.
    pub fn note<C: Words>(&mut self, command: impl FnOnce() -> C) {
        if let Some(notes) = &mut self.0 {
            notes.push(&command(), None);
        }
    }

    /// Notes a command that took something out, unless there was nothing.
    pub fn took<C: Words, T: Debug>(&mut self, what: Option<&T>, command: impl FnOnce() -> C) {
        if let Some((notes, what)) = self.0.as_mut().zip(what) {
            notes.push(&command(), Some(format!("{what:?}")));
        }
    }

    /// The oldest command that was noted.
    pub fn pop(&mut self) -> Option<Noted> {
        self.0.as_mut()?.waiting.pop_front()
    }

    /// Whether commands were lost since this was asked last.
    pub fn take_lost(&mut self) -> bool {
        self.0
            .as_mut()
            .is_some_and(|notes| core::mem::take(&mut notes.lost))
    }

    /// Reads a command in words.
    ///
    /// # Errors
    ///
    /// [`BadCommand`].
    pub fn read<C: Words>(command: &str) -> Result<C, BadCommand> {
        Reader::new(command).last().ok_or(BadCommand)
    }
}

impl Notes {
    fn push(&mut self, command: &impl Words, gave: Option<String>) {
        if self.waiting.len() >= MAX {
            self.lost = true;
            return;
        }
        let mut words = String::new();
        command.write(&mut words);
        // Every word has a blank in front.
        let command = words.split_off(words.len().min(1));
        self.waiting.push_back(Noted { command, gave });
    }
}

#[cfg(test)]
mod tests {
    use super::{BadCommand, Journal, MAX, Noted};
    use alloc::string::ToString;

    #[test]
    fn a_journal_notes_nothing_until_it_is_started_and_then_everything_in_order() {
        let mut journal = Journal::new();
        journal.note(|| 1_u8);
        assert_eq!(journal.pop(), None);
        journal.start();
        journal.note(|| 2_u8);
        journal.start();
        journal.took(None::<&u8>, || 3_u8);
        journal.took(Some(&"an event"), || 4_u8);
        let noted = |command: &str, gave: Option<&str>| {
            let gave = gave.map(ToString::to_string);
            let command = command.to_string();
            Some(Noted { command, gave })
        };
        assert_eq!(journal.pop(), noted("2", None));
        assert_eq!(journal.pop(), noted("4", Some("\"an event\"")));
        assert_eq!(journal.pop(), None);
        assert_eq!(Journal::read("2"), Ok(2_u8));
        assert_eq!(Journal::read::<u8>("2 3"), Err(BadCommand));
    }

    #[test]
    fn a_journal_that_nobody_reads_stays_bounded_and_says_that_something_was_lost() {
        let mut journal = Journal::new();
        journal.start();
        for _ in 0..MAX {
            journal.note(|| 1_u8);
        }
        assert!(!journal.take_lost());
        journal.note(|| 2_u8);
        assert!(journal.take_lost() && !journal.take_lost());
        let mut count = 0;
        while let Some(noted) = journal.pop() {
            assert_eq!(noted.command, "1");
            count += 1;
        }
        assert_eq!(count, MAX);
    }
}
