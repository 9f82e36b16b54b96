//! Values as words of text: how a command is written down, and read again.

use alloc::{string::String, vec::Vec};
use bytes::Bytes;
use core::{fmt::Write as _, str::SplitAsciiWhitespace, time::Duration};
use libp2p_proto_core::{ConnectionId, DialId, Multiaddr, PeerId, ProtocolName, StreamId};

/// A value that can be written as words of printable ASCII, with a blank in front of each, and read again.
///
/// Numbers are decimal, bytes are `x` and hexadecimal digits, durations are nanoseconds; in a text `%` and two hexadecimal digits stand for bytes that are not graphic ASCII, and for `%`.
/// [`commands!`](crate::commands) and [`words!`](crate::words) write the implementations of enums and structs.
pub trait Words: Sized {
    /// Appends the words.
    fn write(&self, out: &mut String);

    /// Takes the words. `None`: they say something else.
    fn read(words: &mut Reader<'_>) -> Option<Self>;
}

/// What is left of a line of words.
#[derive(Clone, Debug)]
pub struct Reader<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Reader<'a> {
    /// The words of a line.
    pub fn new(line: &'a str) -> Self {
        Self(line.split_ascii_whitespace())
    }

    /// The next word.
    pub fn word(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    /// Takes the words of a value, which must be all that is left.
    pub fn last<T: Words>(mut self) -> Option<T> {
        let value = T::read(&mut self)?;
        self.word().is_none().then_some(value)
    }
}

/// Appends one word, which must not have anything in it that ends a word.
pub fn put(out: &mut String, word: impl core::fmt::Display) {
    // Writing to a string does not fail.
    let _infallible = write!(out, " {word}");
}

fn put_escaped(out: &mut String, text: &str) {
    out.push(' ');
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _infallible = write!(out, "%{byte:02x}");
        }
    }
    if text.is_empty() {
        out.push('%');
    }
}

fn unescape(word: &str) -> Option<String> {
    if word == "%" {
        return Some(String::new());
    }
    let (mut bytes, mut rest) = (Vec::new(), word.as_bytes());
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                bytes.push(hex_byte(*high, *low)?);
                tail
            }
            (b'%', _) => return None,
            _ => {
                bytes.push(*byte);
                tail
            }
        };
    }
    String::from_utf8(bytes).ok()
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16);
    u8::try_from(digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?).ok()
}

macro_rules! by_display {
    ($($type:ty),*) => {
        $(impl Words for $type {
            fn write(&self, out: &mut String) {
                put(out, self);
            }

            fn read(words: &mut Reader<'_>) -> Option<Self> {
                words.word()?.parse().ok()
            }
        })*
    };
}

by_display!(bool, u8, u16, u32, u64, usize, i32, f64, PeerId);

impl Words for String {
    fn write(&self, out: &mut String) {
        put_escaped(out, self);
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        unescape(words.word()?)
    }
}

impl Words for Multiaddr {
    fn write(&self, out: &mut String) {
        put_escaped(out, &alloc::format!("{self}"));
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        String::read(words)?.parse().ok()
    }
}

impl Words for ProtocolName {
    fn write(&self, out: &mut String) {
        put_escaped(out, self.as_str());
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        Self::new(&String::read(words)?).ok()
    }
}

impl Words for Bytes {
    fn write(&self, out: &mut String) {
        out.push_str(" x");
        for byte in self {
            let _infallible = write!(out, "{byte:02x}");
        }
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        let digits = words.word()?.strip_prefix('x')?.as_bytes();
        let pairs = digits.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return None;
        }
        let byte = |pair: &[u8]| match pair {
            [high, low] => hex_byte(*high, *low),
            _ => None,
        };
        pairs.map(byte).collect::<Option<Vec<u8>>>().map(Self::from)
    }
}

impl<const N: usize> Words for [u8; N] {
    fn write(&self, out: &mut String) {
        Bytes::copy_from_slice(self).write(out);
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        Bytes::read(words)?.as_ref().try_into().ok()
    }
}

impl Words for Duration {
    fn write(&self, out: &mut String) {
        put(out, self.as_nanos());
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        const SECOND: u128 = 1_000_000_000;
        let nanos: u128 = words.word()?.parse().ok()?;
        let seconds = u64::try_from(nanos / SECOND).ok()?;
        Some(Self::new(seconds, u32::try_from(nanos % SECOND).ok()?))
    }
}

impl Words for ConnectionId {
    fn write(&self, out: &mut String) {
        put(out, self.get());
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        u64::read(words).map(Self::new)
    }
}

impl Words for DialId {
    fn write(&self, out: &mut String) {
        put(out, self.get());
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        u64::read(words).map(Self::new)
    }
}

/// The connection, then the number on it: even for ours, odd for theirs.
impl Words for StreamId {
    fn write(&self, out: &mut String) {
        self.conn.write(out);
        put(out, self.seq());
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        let (conn, seq) = (ConnectionId::read(words)?, u64::read(words)?);
        Some(if seq % 2 == 0 {
            Self::ours(conn, seq / 2)
        } else {
            Self::theirs(conn, seq / 2)
        })
    }
}

/// `-`, or `+` and the value.
impl<T: Words> Words for Option<T> {
    fn write(&self, out: &mut String) {
        match self {
            None => put(out, '-'),
            Some(value) => {
                put(out, '+');
                value.write(out);
            }
        }
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        match words.word()? {
            "-" => Some(None),
            "+" => T::read(words).map(Some),
            _ => None,
        }
    }
}

/// Their number, then each of them.
impl<T: Words> Words for Vec<T> {
    fn write(&self, out: &mut String) {
        self.len().write(out);
        for value in self {
            value.write(out);
        }
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        // Nothing is set aside for a number that the words don't keep.
        let (count, mut values) = (usize::read(words)?, Self::new());
        while values.len() < count {
            values.push(T::read(words)?);
        }
        Some(values)
    }
}

impl<A: Words, B: Words> Words for (A, B) {
    fn write(&self, out: &mut String) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(words: &mut Reader<'_>) -> Option<Self> {
        Some((A::read(words)?, B::read(words)?))
    }
}

/// Writes [`Words`] for a struct of this crate: its fields, one after the other. Or for an enum without any: a word for each variant, as in
/// `words!(Mode: "client" => Client, "server" => Server)`.
///
/// ```
/// use libp2p_proto_stream_protocol::{Reader, Words, words};
///
/// #[derive(Debug, PartialEq)]
/// struct Ticket(u64);
/// words!(Ticket { 0 });
///
/// let mut line = String::new();
/// Ticket(7).write(&mut line);
/// assert_eq!(line, " 7");
/// assert_eq!(Reader::new(&line).last(), Some(Ticket(7)));
/// ```
#[macro_export]
macro_rules! words {
    ($name:ident { $($field:tt),* $(,)? }) => {
        impl $crate::Words for $name {
            fn write(&self, out: &mut $crate::__String) {
                $($crate::Words::write(&self.$field, out);)*
            }

            fn read(words: &mut $crate::Reader<'_>) -> Option<Self> {
                Some(Self { $($field: $crate::Words::read(words)?),* })
            }
        }
    };
    ($name:ident: $($word:literal => $variant:ident),+ $(,)?) => {
        impl $crate::Words for $name {
            fn write(&self, out: &mut $crate::__String) {
                $crate::put_word(out, match self { $(Self::$variant => $word),+ });
            }

            fn read(words: &mut $crate::Reader<'_>) -> Option<Self> {
                match words.word()? {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

/// An enum, and [`Words`] for it: the literal of a variant, then its fields.
///
/// ```
/// use libp2p_proto_stream_protocol::{Reader, Words, commands};
///
/// commands! {
///     /// What is asked of a timer.
///     pub enum Command {
///         /// Ring once.
///         "ring" => Ring {
///             /// After so many seconds.
///             seconds: u32,
///         },
///         /// Never mind.
///         "stop" => Stop,
///     }
/// }
///
/// let mut line = String::new();
/// Command::Ring { seconds: 9 }.write(&mut line);
/// assert_eq!(line, " ring 9");
/// assert_eq!(Reader::new(&line).last(), Some(Command::Ring { seconds: 9 }));
/// assert_eq!(Reader::new("stop now").last::<Command>(), None);
/// ```
#[macro_export]
macro_rules! commands {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$about:meta])* $word:literal => $variant:ident $({ $($(#[$what:meta])* $field:ident: $type:ty),* $(,)? })?),* $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        $vis enum $name {
            $($(#[$about])* $variant $({ $($(#[$what])* $field: $type),* })?),*
        }

        impl $crate::Words for $name {
            fn write(&self, out: &mut $crate::__String) {
                match self {
                    $(Self::$variant { $($($field),*)? } => {
                        $crate::put_word(out, $word);
                        $($($crate::Words::write($field, out);)*)?
                    }),*
                }
            }

            fn read(words: &mut $crate::Reader<'_>) -> Option<Self> {
                Some(match words.word()? {
                    $($word => Self::$variant { $($($field: $crate::Words::read(words)?),*)? },)*
                    _ => return None,
                })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::{Bytes, ConnectionId, Duration, Multiaddr, PeerId, ProtocolName, Reader, StreamId, Words};
    use alloc::{
        string::{String, ToString as _},
        vec,
        vec::Vec,
    };
    use libp2p_proto_core::Rng;

    fn line(value: &impl Words) -> String {
        let mut line = String::new();
        value.write(&mut line);
        line
    }

    #[track_caller]
    fn there_and_back<T: Words + PartialEq + core::fmt::Debug>(value: T, words: &str) {
        assert_eq!(line(&value), words);
        assert!(words.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
        assert_eq!(Reader::new(words).last(), Some(value));
    }

    #[test]
    fn values_are_written_as_words_and_read_again() {
        let conn = ConnectionId::new(4);
        let peer = PeerId::random(&mut Rng::from_seed([1; 32]));
        there_and_back(true, " true");
        there_and_back(u64::MAX, " 18446744073709551615");
        there_and_back(-3, " -3");
        there_and_back(0.1, " 0.1");
        there_and_back(f64::NEG_INFINITY, " -inf");
        there_and_back(String::new(), " %");
        there_and_back("a b%\n-é".to_string(), " a%20b%25%0a-%c3%a9");
        there_and_back(ProtocolName::from_static("/a b"), " /a%20b");
        there_and_back(Bytes::new(), " x");
        there_and_back(Bytes::from_static(b"\x00\xff"), " x00ff");
        there_and_back([1_u8, 2], " x0102");
        there_and_back(Duration::MAX, " 18446744073709551615999999999");
        there_and_back(StreamId::ours(conn, 3), " 4 6");
        there_and_back(StreamId::theirs(conn, 3), " 4 7");
        there_and_back((None::<u8>, Some(7_u8)), " - + 7");
        there_and_back(Some("-".to_string()), " + -");
        there_and_back(vec![1_u8, 2], " 2 1 2");
        there_and_back(Vec::<u8>::new(), " 0");
        there_and_back(peer, &alloc::format!(" {peer}"));
        for text in ["/ip4/192.0.2.1/tcp/1", "/dns/x/tcp/1/ws"] {
            let addr: Multiaddr = text.parse().unwrap();
            assert_eq!(Reader::new(&line(&addr)).last(), Some(addr));
        }
    }

    #[test]
    fn words_that_say_something_else_are_refused() {
        for bad in ["", "256", "1 2", "x", "-1"] {
            assert_eq!(Reader::new(bad).last::<u8>(), None, "{bad}");
        }
        for bad in ["00", "x0", "x0g", "xé"] {
            assert_eq!(Reader::new(bad).last::<Bytes>(), None, "{bad}");
        }
        for bad in ["%4", "%zz", "a%", "%ff"] {
            assert_eq!(Reader::new(bad).last::<String>(), None, "{bad}");
        }
        assert_eq!(Reader::new("x01").last::<[u8; 2]>(), None);
        assert_eq!(
            Reader::new("18446744073709551616000000000").last::<Duration>(),
            None
        );
        assert_eq!(Reader::new("18446744073709551615 1").last::<Vec<u8>>(), None);
        assert_eq!(Reader::new("? 1").last::<Option<u8>>(), None);
    }
}
