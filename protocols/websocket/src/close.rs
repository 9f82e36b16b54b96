//! Why a peer closes (RFC 6455 section 7.4).

/// The code of a close frame, or what stands for one that had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: all is done.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server stops, or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: a rule of the protocol was broken.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a kind of message that is not taken, here text.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1005: a close frame without a code. Never on the wire.
    pub const NONE: Self = Self(1005);
    /// 1007: text that is not UTF-8.
    pub const BAD_DATA: Self = Self(1007);
    /// 1008: a limit of ours that has no code of its own.
    pub const POLICY: Self = Self(1008);
    /// 1009: a frame or message over the limit.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: our own failure.
    pub const INTERNAL: Self = Self(1011);

    /// A code that may be on the wire: 1000 to 1003, 1007 to 1014 (registered with IANA), 3000 to 4999.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the peer meant a clean end: 1000, 1001 (a browser whose page was left) or 1005 (js says no code).
    pub const fn is_clean(self) -> bool {
        matches!(self.0, 1000 | 1001 | 1005)
    }
}
