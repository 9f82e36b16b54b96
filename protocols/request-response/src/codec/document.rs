//! Where one JSON or CBOR document ends, found byte by byte: its shape, not its meaning, which is for the application's parser.

use crate::Failure;
use alloc::vec::Vec;

/// The deepest nesting that is taken.
const MAX_DEPTH: usize = 64;

/// What a message is made of, where it ends with its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// Any bytes.
    Opaque,
    /// One JSON document.
    Json,
    /// One CBOR data item.
    Cbor,
}

/// Reads a document in any split.
#[derive(Debug)]
pub(crate) enum Scanner {
    Opaque,
    Json(Json),
    Cbor(Cbor),
}

impl Scanner {
    pub(crate) const fn new(document: Document) -> Self {
        match document {
            Document::Opaque => Self::Opaque,
            Document::Json => Self::Json(Json::new()),
            Document::Cbor => Self::Cbor(Cbor::new()),
        }
    }

    /// Takes the next bytes of the message, of which at most `max` may come; answers how many, which is all unless the document is complete and is to be
    /// taken `early`.
    pub(crate) fn scan(&mut self, input: &[u8], max: usize, early: bool) -> Result<usize, Failure> {
        if let Self::Opaque = self {
            return if input.len() > max {
                Err(Failure::TooLarge)
            } else {
                Ok(input.len())
            };
        }
        for (taken, byte) in input.iter().enumerate() {
            if early && self.is_complete() {
                return Ok(taken);
            }
            let left = max
                .checked_sub(taken.saturating_add(1))
                .ok_or(Failure::TooLarge)?;
            match self {
                Self::Opaque => Some(()),
                Self::Json(json) => json.byte(*byte),
                Self::Cbor(cbor) => cbor.byte(*byte, left as u64),
            }
            .ok_or(Failure::Malformed)?;
        }
        Ok(input.len())
    }

    /// Whether the document certainly ends here: whatever followed would be another one.
    pub(crate) const fn is_complete(&self) -> bool {
        match self {
            Self::Opaque => false,
            Self::Json(json) => matches!(json.state, Text::Behind),
            Self::Cbor(cbor) => matches!(cbor.state, Item::Behind),
        }
    }

    /// Whether the document may end here, because its stream does.
    pub(crate) const fn may_end(&self) -> bool {
        match self {
            Self::Opaque => true,
            Self::Json(json) => matches!(json.state, Text::Behind | Text::Word),
            Self::Cbor(_) => self.is_complete(),
        }
    }
}

/// Brackets and strings of a JSON document.
#[derive(Debug)]
pub(crate) struct Json {
    /// The open brackets, the innermost in the lowest bit: 1 for a brace. As wide as [`MAX_DEPTH`].
    braces: u64,
    depth: usize,
    state: Text,
}

#[derive(Clone, Copy, Debug)]
enum Text {
    /// Between values and brackets.
    Outside,
    /// In a number or a literal that is the whole document.
    Word,
    InString,
    InEscape,
    /// Behind the document.
    Behind,
}

impl Json {
    const fn new() -> Self {
        Self {
            braces: 0,
            depth: 0,
            state: Text::Outside,
        }
    }

    fn byte(&mut self, byte: u8) -> Option<()> {
        let space = matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.state = match self.state {
            Text::InString => match byte {
                b'\\' => Text::InEscape,
                b'"' => self.outside(),
                _ => Text::InString,
            },
            Text::InEscape => Text::InString,
            Text::Behind => space.then_some(Text::Behind)?,
            Text::Word => match byte {
                b'[' | b'{' | b']' | b'}' | b'"' | b',' | b':' => return None,
                _ if space => Text::Behind,
                _ => Text::Word,
            },
            Text::Outside => self.next(byte, space)?,
        };
        Some(())
    }

    /// A byte between values and brackets.
    fn next(&mut self, byte: u8, space: bool) -> Option<Text> {
        Some(match byte {
            b'"' => Text::InString,
            b'[' | b'{' => {
                self.depth = self.depth.checked_add(1).filter(|depth| *depth <= MAX_DEPTH)?;
                self.braces = self.braces << 1 | u64::from(byte == b'{');
                Text::Outside
            }
            b']' | b'}' => {
                self.depth = self.depth.checked_sub(1)?;
                if (self.braces & 1 == 1) != (byte == b'}') {
                    return None;
                }
                self.braces >>= 1;
                self.outside()
            }
            _ if space || self.depth > 0 => Text::Outside,
            b',' | b':' => return None,
            _ => Text::Word,
        })
    }

    const fn outside(&self) -> Text {
        if self.depth == 0 {
            Text::Behind
        } else {
            Text::Outside
        }
    }
}

/// Heads and lengths of a CBOR data item (RFC 8949).
#[derive(Debug)]
pub(crate) struct Cbor {
    /// The open items, the innermost last.
    open: Vec<Open>,
    state: Item,
}

#[derive(Clone, Copy, Debug)]
enum Item {
    /// The first byte of an item is next.
    Head,
    /// Bytes of the argument are missing.
    Argument { major: u8, value: u64, left: u8 },
    /// Bytes of a string are missing.
    Content { left: u64 },
    /// Behind the item.
    Behind,
}

/// What an open item still wants.
#[derive(Clone, Copy, Debug)]
enum Open {
    /// So many items.
    Items(u64),
    /// Items up to a break; pairs of them in a map.
    Endless { map: bool, odd: bool },
    /// Definite strings of this kind up to a break.
    Chunks { major: u8 },
}

const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

impl Cbor {
    const fn new() -> Self {
        Self {
            open: Vec::new(),
            state: Item::Head,
        }
    }

    fn byte(&mut self, byte: u8, left: u64) -> Option<()> {
        match self.state {
            Item::Head => self.head(byte, left),
            Item::Argument {
                major,
                value,
                left: missing,
            } => {
                let value = value << 8 | u64::from(byte);
                match missing.saturating_sub(1) {
                    0 => self.begin(major, value, left),
                    missing => {
                        self.state = Item::Argument {
                            major,
                            value,
                            left: missing,
                        };
                        Some(())
                    }
                }
            }
            Item::Content { left: 1 } => self.end(),
            Item::Content { left } => {
                self.state = Item::Content {
                    left: left.saturating_sub(1),
                };
                Some(())
            }
            Item::Behind => None,
        }
    }

    fn head(&mut self, byte: u8, left: u64) -> Option<()> {
        let (major, info) = (byte >> 5, byte & 0x1f);
        if let Some(Open::Chunks { major: wanted }) = self.open.last() {
            // Inside a string of chunks there are definite strings of its kind, and its end.
            if byte != 0xff && (major != *wanted || info == 31) {
                return None;
            }
        }
        match info {
            0..=23 => self.begin(major, u64::from(info), left),
            24..=27 => {
                self.state = Item::Argument {
                    major,
                    value: 0,
                    left: 1 << info.saturating_sub(24),
                };
                Some(())
            }
            31 => self.endless(major),
            _ => None,
        }
    }

    /// An item of indefinite length begins, or ends.
    fn endless(&mut self, major: u8) -> Option<()> {
        let open = match major {
            BYTES | TEXT => Open::Chunks { major },
            ARRAY | MAP => Open::Endless {
                map: major == MAP,
                odd: false,
            },
            7 => {
                return match self.open.pop()? {
                    Open::Chunks { .. } | Open::Endless { odd: false, .. } => self.end(),
                    Open::Items(_) | Open::Endless { odd: true, .. } => None,
                };
            }
            _ => return None,
        };
        self.push(open)
    }

    /// The head of an item is complete. What it announces is held against what can still come.
    fn begin(&mut self, major: u8, value: u64, left: u64) -> Option<()> {
        match major {
            BYTES | TEXT if value > 0 => {
                self.state = Item::Content { left: value };
                (value <= left).then_some(())
            }
            ARRAY | MAP | TAG => {
                let items = match major {
                    ARRAY => value,
                    MAP => value.checked_mul(2)?,
                    _ => 1,
                };
                match items {
                    0 => self.end(),
                    _ if items > left => None,
                    _ => self.push(Open::Items(items)),
                }
            }
            _ => self.end(),
        }
    }

    fn push(&mut self, open: Open) -> Option<()> {
        self.open.push(open);
        self.state = Item::Head;
        (self.open.len() <= MAX_DEPTH).then_some(())
    }

    /// An item is complete, and with it perhaps those around it.
    fn end(&mut self) -> Option<()> {
        loop {
            match self.open.last_mut() {
                None => {
                    self.state = Item::Behind;
                    return Some(());
                }
                Some(Open::Items(1)) => {
                    self.open.pop();
                    continue;
                }
                Some(Open::Items(left)) => *left = left.saturating_sub(1),
                Some(Open::Endless { map, odd }) => *odd = *map && !*odd,
                Some(Open::Chunks { .. }) => {}
            }
            self.state = Item::Head;
            return Some(());
        }
    }
}
