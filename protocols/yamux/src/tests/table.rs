//! Every frame in every state, against a table that was written from the requirements.

use super::{NOW, feed, frame, session, state, transmit};
use crate::{
    Error, Event, Yamux,
    wire::{ACK, FIN, Header, RST, SYN},
};
use alloc::{format, string::String, vec, vec::Vec};
use libp2p_proto_core::Side;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Open,
    HalfClosedLocal,
    HalfClosedRemote,
    Closed,
    Reset,
}

const STATES: [State; 6] = [
    State::Unknown,
    State::Open,
    State::HalfClosedLocal,
    State::HalfClosedRemote,
    State::Closed,
    State::Reset,
];

const WINDOW: u32 = 262_144;

const LENGTHS: [u32; 12] = [
    0,
    1,
    2,
    WINDOW - 1,
    WINDOW,
    WINDOW + 1,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX - WINDOW,
    u32::MAX - WINDOW + 1,
    u32::MAX,
];

/// Bytes for unknown streams in one minute.
const UNKNOWN_BYTES: u32 = 64 << 20;

/// A listener with stream `id` in `state`; stream 1 is the remote's, stream 2 ours.
fn prepare(state: State, id: u32) -> Yamux {
    let mut yamux = session(Side::Listener);
    if id == 0 || state == State::Unknown {
        return yamux;
    }
    if id == 1 {
        feed(&mut yamux, NOW, &frame(1, SYN, 1, 0)).unwrap();
        yamux.accept(1, 64);
    } else {
        assert_eq!(yamux.open(64), Ok(2));
        transmit(&mut yamux, NOW);
        feed(&mut yamux, NOW, &frame(1, ACK, 2, 0)).unwrap();
    }
    if matches!(state, State::HalfClosedLocal | State::Closed) {
        yamux.finish(id);
    }
    transmit(&mut yamux, NOW);
    if matches!(state, State::HalfClosedRemote | State::Closed) {
        feed(&mut yamux, NOW, &frame(0, FIN, id, 0)).unwrap();
    }
    if state == State::Reset {
        yamux.reset(id);
        transmit(&mut yamux, NOW);
    }
    yamux
}

/// What the header alone must do: events and output, or the error.
type Expected = Result<(Vec<Event<'static>>, Vec<u8>), Error>;

fn expected(kind: u8, flags: u16, length: u32, state: State, id: u32) -> Expected {
    let has = |flag| flags & flag != 0;
    let nothing = Ok((vec![], vec![]));
    if (kind >= 2) != (id == 0) {
        return Err(Error::BadStreamId(id));
    }
    match kind {
        2 if has(SYN) && has(ACK) => return Err(Error::BadPing),
        2 if has(ACK) => return nothing,
        2 => return Ok((vec![], frame(2, ACK, 0, length))),
        3 => return Ok((vec![Event::GoAway { code: length }], vec![])),
        _ => {}
    }
    let (body, increment) = if kind == 0 { (length, 0) } else { (0, length) };
    let stands = matches!(
        state,
        State::Open | State::HalfClosedLocal | State::HalfClosedRemote
    );
    let exceeded = (body > WINDOW).then_some(Error::WindowExceeded {
        got: body,
        window: WINDOW,
    });
    let unknown = match state {
        // Late frames of a stream that we reset, within its credit.
        State::Reset if body <= WINDOW => nothing.clone(),
        _ if body > UNKNOWN_BYTES => Err(Error::UnknownFlood),
        _ => nothing.clone(),
    };
    if has(RST) {
        let event = Event::Reset {
            stream: id,
            code: increment,
            refused: false,
        };
        return match exceeded {
            _ if !stands => unknown,
            Some(error) => Err(error),
            None => Ok((vec![event], vec![])),
        };
    }
    let overflow = (increment > u32::MAX - WINDOW).then_some(Error::WindowOverflow);
    let mut events = Vec::new();
    if has(SYN) {
        if id == 2 {
            return Err(Error::BadStreamId(2));
        }
        if stands || state == State::Reset {
            return Err(Error::DuplicateStream(1));
        }
        events.push(Event::Opened { stream: 1 });
    } else if !stands {
        return unknown;
    }
    if let Some(error) = exceeded.or(overflow) {
        return Err(error);
    }
    if has(FIN) && body == 0 && state != State::HalfClosedRemote {
        events.push(Event::Finished { stream: id });
        if state == State::HalfClosedLocal {
            events.push(Event::Closed { stream: id });
        }
    }
    Ok((events, vec![]))
}

// covers: YMX-002, YMX-005, YMX-018, YMX-019, YMX-035, YMX-036, YMX-037, YMX-038, YMX-047, YMX-048, YMX-061, YMX-065, YMX-066, YMX-073, YMX-075
#[test]
fn vul_032_all_13_824_frames_do_what_the_reference_table_says_and_a_refused_one_changes_nothing() {
    let mut cases = 0;
    for kind in 0..4 {
        for flags in 0..16 {
            for length in LENGTHS {
                for in_state in STATES {
                    for id in [1, 2, 0] {
                        cases += 1;
                        check(kind, flags, length, in_state, id);
                    }
                }
            }
        }
    }
    assert_eq!(cases, 13_824);
}

fn check(kind: u8, flags: u16, length: u32, in_state: State, id: u32) {
    let case = format!("type {kind} flags {flags:#x} length {length:#x} id {id} {in_state:?}");
    let wire = frame(kind, flags, id, length);
    let expected = expected(kind, flags, length, in_state, id);
    let mut yamux = prepare(in_state, id);

    if expected.is_err() {
        let before = state(&yamux);
        let refused = Header::decode(wire.as_slice().try_into().unwrap())
            .and_then(|header| yamux.handle_header(header).map(|_| ()));
        assert_eq!(refused.err(), expected.clone().err(), "{case}");
        assert_eq!(state(&yamux), before, "{case}");
    }

    let mut yamux = prepare(in_state, id);
    match (feed(&mut yamux, NOW, &wire), expected) {
        (Ok(events), Ok((wanted, output))) => {
            let wanted: Vec<String> = wanted.iter().map(|event| format!("{event:?}")).collect();
            assert_eq!(events, wanted, "{case}");
            let gone = matches!(events.first(), Some(first) if first.starts_with("GoAway"));
            assert!(gone || yamux.failed.is_none(), "{case}");
            assert_eq!(transmit(&mut yamux, NOW), output, "{case}");
            super::census::assert_census(&yamux);
        }
        (Err(error), Err(wanted)) => {
            assert_eq!(error, wanted, "{case}");
            assert_eq!(transmit(&mut yamux, NOW), frame(3, 0, 0, 1), "{case}");
            assert!(yamux.is_closed(), "{case}");
            assert_eq!(feed(&mut yamux, NOW, &wire), Err(error), "{case}");
            super::census::assert_empty(&yamux);
        }
        (got, wanted) => panic!("{case}: got {got:?}, wanted {wanted:?}"),
    }
}
