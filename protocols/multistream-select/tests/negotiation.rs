//! What the vectors can't say: names that change, predicates, laziness, memory, the laws.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::measure;
use libp2p_proto_core::{Fault, Instant, ProtocolName, Side, TransmitBuf};
use libp2p_proto_laws::{Laws, Machine, Said, Script};
use libp2p_proto_multistream_select::{Error, Limits, Names, Negotiation, Outcome};
use proptest::prelude::*;
use std::{collections::BTreeSet, fs};
use support::{HEADER, ID, NA, NOISE, PING, line, name, said, take};

// covers: MSS-009, MSS-010
#[test]
fn a_name_that_no_peer_could_read_is_no_name_of_ours() {
    for bad in [
        "",
        "ping/1",
        "na",
        "ls",
        "/two\nlines",
        &format!("/{}", "x".repeat(1023)),
    ] {
        assert!(ProtocolName::new(bad).is_err(), "{bad}");
    }
    assert_eq!(name(1023).as_str().len(), 1023);
    // Names are lent as `ProtocolName`, so no other can be proposed or registered: the largest fits its message.
    let largest = [name(1023)];
    let mut dialer = Negotiation::dialer();
    assert_eq!(take(&mut dialer, &largest).len(), 20 + 1026);
}

// covers: MSS-008
#[test]
fn a_message_of_1024_bytes_is_read_and_one_more_is_refused_by_its_length() {
    let mut listener = Negotiation::listener();
    listener
        .handle_input(&said(&[name(1023).as_str().as_bytes()]), &[NOISE])
        .unwrap();
    assert_eq!(take(&mut listener, &[NOISE]), [HEADER, NA].concat());
    assert_eq!(
        listener.handle_input(&[0x81, 0x08], &[NOISE]),
        Ok(2),
        "after a refusal that is a dialer that gave up"
    );
    assert_eq!(listener.outcome(), Outcome::Refused);
    let mut listener = Negotiation::listener();
    listener.handle_input(HEADER, &[NOISE]).unwrap();
    assert_eq!(
        listener.handle_input(&[0x81, 0x08], &[NOISE]),
        Err(Error::LineTooLong)
    );
}

#[test]
fn the_limits_move_and_have_a_range() {
    let limits = |message, refusals| Limits { message, refusals };
    let listener = |limits| Negotiation::with_limits(Side::Listener, limits).unwrap();
    let mut large = listener(limits(16_383, 32));
    assert_eq!(
        large.handle_input(&said(&[&[b'x'; 16_382]]), &[NOISE]),
        Ok(20 + 16_385)
    );
    assert_eq!(take(&mut large, &[NOISE]), [HEADER, NA].concat());
    let mut small = listener(limits(64, 32));
    small.handle_input(&said(&[&[b'x'; 63]]), &[NOISE]).unwrap();
    let mut small = listener(limits(64, 32));
    assert_eq!(
        small.handle_input(&said(&[&[b'x'; 64]]), &[NOISE]),
        Err(Error::LineTooLong)
    );
    let mut strict = listener(limits(1024, 0));
    assert_eq!(
        strict.handle_input(&said(&[b"/x"]), &[NOISE]),
        Err(Error::TooManyProposals)
    );
    let mut patient = listener(limits(1024, 255));
    let wire = [HEADER, &line(b"/x").repeat(255)].concat();
    assert_eq!(patient.handle_input(&wire, &[NOISE]), Ok(wire.len()));
    assert_eq!(
        patient.handle_input(&line(b"/x"), &[NOISE]),
        Err(Error::TooManyProposals)
    );
    for bad in [limits(63, 32), limits(16_384, 32)] {
        let error = Negotiation::with_limits(Side::Dialer, bad).unwrap_err();
        assert_eq!((error, error.fault()), (Error::BadLimit("message"), Fault::Local));
    }
}

// covers: MSS-033
#[test]
fn vul_050_ten_thousand_proposals_end_at_the_33rd_in_one_chunk_or_dribbled() {
    let wire = [HEADER, &line(b"/no").repeat(10_000)].concat();
    for piece in [wire.len(), 1, 5, 1000] {
        let mut listener = Negotiation::listener();
        let mut answers = 0;
        let error = wire.chunks(piece).find_map(|part| {
            let result = listener.handle_input(part, &[NOISE]);
            answers += take(&mut listener, &[NOISE]).len();
            result.err()
        });
        assert_eq!(error, Some(Error::TooManyProposals));
        assert!(
            answers <= 20 + 4 * 32,
            "no more than came, and nothing after the end"
        );
        assert_eq!(Error::TooManyProposals.fault(), Fault::Limit);
        assert_eq!(
            listener.handle_input(b"x", &[NOISE]),
            Err(Error::TooManyProposals)
        );
    }
}

// covers: MSS-038
#[test]
fn vul_052_ls_is_answered_na_and_counts_as_a_proposal() {
    let wire = [HEADER, &line(b"ls").repeat(1000)].concat();
    let mut listener = Negotiation::listener();
    assert_eq!(
        listener.handle_input(&wire, &[NOISE, PING]),
        Err(Error::TooManyProposals)
    );
    let mut listener = Negotiation::listener();
    let wire = [HEADER, &line(b"ls").repeat(32)].concat();
    listener.handle_input(&wire, &[NOISE, PING]).unwrap();
    assert_eq!(
        take(&mut listener, &[NOISE, PING]),
        [HEADER, &NA.repeat(32)].concat()
    );
    // A list that we did not ask for.
    let mut dialer = Negotiation::dialer();
    take(&mut dialer, &[PING]);
    let list = line(&[line(b"/noise"), line(PING.as_str().as_bytes())].concat());
    assert_eq!(
        dialer.handle_input(&[HEADER, &list].concat(), &[PING]),
        Err(Error::UnexpectedReply)
    );
}

#[test]
fn vul_049_every_length_is_refused_as_soon_as_it_is_bad_and_nothing_is_allocated_for_it() {
    let varint = |mut value: u128| {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    };
    for value in [
        0,
        1025,
        16_383,
        16_384,
        1 << 31,
        1 << 63,
        u128::from(u64::MAX),
        1 << 70,
    ] {
        for role in [Negotiation::dialer, Negotiation::listener] {
            let mut machine = role();
            let prefix = varint(value);
            let mut refused = Ok(0);
            let info = measure(|| {
                for byte in &prefix {
                    refused = machine.handle_input(&[*byte], &[NOISE]);
                    if refused.is_err() {
                        break;
                    }
                }
            });
            assert!(refused.is_err(), "{value}");
            assert!(info.bytes_max <= 64, "{info:?}");
        }
    }
    for bad in [&b"\x81\x00"[..], b"\x80\x00", b"\x93\x00"] {
        assert_eq!(
            Negotiation::listener().handle_input(bad, &[NOISE]),
            Err(Error::BadLength)
        );
    }
    // Without a line break, with two, and not UTF-8.
    let answer = |text: &[u8]| {
        let mut listener = Negotiation::listener();
        listener.handle_input(&[HEADER, text].concat(), &[NOISE])?;
        Ok::<_, Error>(take(&mut listener, &[NOISE]))
    };
    assert_eq!(answer(b"\x06/noise"), Err(Error::NoNewline));
    assert_eq!(answer(b"\x08/noise\n\n"), Ok([HEADER, NA].concat()));
    assert_eq!(answer(b"\x04/\xff\xff\n"), Ok([HEADER, NA].concat()));
}

/// Accepts whatever begins so.
struct Prefix(ProtocolName);

impl Names for Prefix {
    fn name(&self, place: usize) -> Option<&ProtocolName> {
        (place == 0).then_some(&self.0)
    }

    fn place(&self, proposed: &str) -> Option<usize> {
        proposed.starts_with(self.0.as_str()).then_some(0)
    }
}

// covers: MSS-030
#[test]
fn a_predicate_accepts_a_name_and_the_echo_is_the_name_that_was_proposed() {
    let names = Prefix(ProtocolName::from_static("/foo/1."));
    let mut listener = Negotiation::listener();
    listener
        .handle_input(&said(&[b"/foo/2.0", b"/foo/1.2"]), &names)
        .unwrap();
    assert_eq!(
        (listener.outcome(), listener.agreed_line()),
        (Outcome::Agreed(0), Some("/foo/1.2"))
    );
    assert_eq!(
        take(&mut listener, &names),
        [HEADER, NA, &line(b"/foo/1.2")].concat()
    );
    // Arrays match exactly.
    let mut listener = Negotiation::listener();
    listener
        .handle_input(&said(&[b"/foo/1.2", b"/foo/1."]), &std::slice::from_ref(&names.0))
        .unwrap();
    assert_eq!(
        (listener.outcome(), listener.agreed_line()),
        (Outcome::Agreed(0), None)
    );
    assert_eq!(
        take(&mut listener, &[names.0]),
        [HEADER, NA, &line(b"/foo/1.")].concat()
    );
}

// covers: MSS-031
#[test]
fn a_listener_decides_by_the_names_of_the_moment() {
    let both = [NOISE, PING];
    let mut listener = Negotiation::listener();
    listener.handle_input(HEADER, &both.as_slice()).unwrap();
    listener.handle_input(&line(b"/noise"), &&both[1..]).unwrap();
    assert_eq!(listener.outcome(), Outcome::Pending);
    listener.handle_input(&line(b"/noise"), &&both[..]).unwrap();
    assert_eq!(
        take(&mut listener, &&both[..]),
        [HEADER, NA, &line(b"/noise")].concat()
    );
}

// covers: MSS-021, MSS-026
#[test]
fn proposals_leave_one_by_one_each_after_the_refusal_of_the_one_before() {
    let names = [NOISE, PING, ID];
    let mut dialer = Negotiation::dialer();
    assert_eq!(take(&mut dialer, &names), said(&[b"/noise"]));
    assert!(!dialer.may_write(&names), "more names follow");
    assert!(take(&mut dialer, &names).is_empty());
    dialer.handle_input(&[HEADER, NA].concat(), &names).unwrap();
    assert_eq!(take(&mut dialer, &names), line(PING.as_str().as_bytes()));
    dialer.handle_input(NA, &names).unwrap();
    assert_eq!(take(&mut dialer, &names), line(ID.as_str().as_bytes()));
    assert!(dialer.may_write(&names), "the last one");
    dialer.handle_input(NA, &names).unwrap();
    assert_eq!((dialer.outcome(), dialer.is_drained()), (Outcome::Refused, true));
    // With nothing to propose nothing is said.
    let mut dialer = Negotiation::dialer();
    assert!(take(&mut dialer, &[]).is_empty());
    assert_eq!((dialer.outcome(), dialer.is_drained()), (Outcome::Refused, true));
}

// covers: MSS-016, MSS-017
#[test]
fn header_and_proposal_leave_in_one_piece_or_wait_for_room() {
    let mut dialer = Negotiation::dialer();
    let mut wire = Vec::new();
    for limit in [0, 19, 20, 37] {
        assert!(!dialer.poll_transmit(&[PING], &mut TransmitBuf::new(&mut wire, limit)));
    }
    assert!(dialer.poll_transmit(&[PING], &mut TransmitBuf::new(&mut wire, 38)));
    assert_eq!(wire, said(&[PING.as_str().as_bytes()]));
    let mut listener = Negotiation::listener();
    listener.handle_input(&wire, &[PING]).unwrap();
    let mut answer = Vec::new();
    assert!(listener.poll_transmit(&[PING], &mut TransmitBuf::new(&mut answer, 38)));
    assert_eq!(answer, wire);
}

/// What can happen to a lazy dialer's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Propose,
    RemoteHeader,
    RemoteRefuses,
    RemoteGarbage,
    RemoteEnds,
}

// covers: MSS-025, MSS-027
#[test]
fn vul_053_in_whatever_order_a_refusal_an_end_and_garbage_come_no_byte_is_taken_for_data() {
    use Happens::{Propose, RemoteEnds, RemoteGarbage, RemoteHeader, RemoteRefuses};
    let all = [Propose, RemoteHeader, RemoteRefuses, RemoteGarbage, RemoteEnds];
    let mut orders = vec![vec![]];
    for _ in 0..all.len() {
        orders = orders
            .iter()
            .flat_map(|order: &Vec<Happens>| {
                all.iter()
                    .filter(|next| !order.contains(next))
                    .map(|next| [&order[..], &[*next]].concat())
            })
            .collect();
    }
    assert_eq!(orders.len(), 120);
    for order in orders {
        let mut dialer = Negotiation::dialer();
        let mut result = Ok(());
        for happens in &order {
            let wire: &[u8] = match happens {
                Propose => {
                    take(&mut dialer, &[PING]);
                    continue;
                }
                RemoteHeader => HEADER,
                RemoteRefuses => NA,
                RemoteGarbage => b"\xff\xff",
                RemoteEnds => {
                    result = result.and(dialer.handle_eof());
                    continue;
                }
            };
            // Whatever is not taken would be the application's.
            result = result.and(
                dialer
                    .handle_input(wire, &[PING])
                    .map(|taken| assert_eq!(taken, wire.len())),
            );
        }
        let at = |happens| order.iter().position(|other| *other == happens).unwrap();
        let in_order = [Propose, RemoteHeader, RemoteRefuses].map(at);
        let is_answer = in_order.is_sorted() || (in_order[1] < in_order[0] && in_order[0] < in_order[2]);
        let refused = is_answer && at(RemoteRefuses) < at(RemoteGarbage).min(at(RemoteEnds));
        assert_eq!(
            dialer.outcome() == Outcome::Refused,
            refused,
            "{order:?}: {result:?}"
        );
        assert_eq!(result.is_ok(), refused, "{order:?}");
        assert!(!dialer.may_write(&[PING]) && dialer.is_drained(), "{order:?}");
    }
}

// covers: MSS-064, MSS-065
#[test]
fn vul_054_two_dialers_end_at_once_and_two_listeners_wait_in_silence() {
    let (mut a, mut b) = (Negotiation::dialer(), Negotiation::dialer());
    let (there, back) = (take(&mut a, &[NOISE]), take(&mut b, &[PING]));
    assert_eq!(a.handle_input(&back, &[NOISE]), Err(Error::UnexpectedReply));
    assert_eq!(b.handle_input(&there, &[PING]), Err(Error::UnexpectedReply));
    let (mut a, mut b) = (Negotiation::listener(), Negotiation::listener());
    a.handle_input(&take(&mut b, &[NOISE]), &[NOISE]).unwrap();
    b.handle_input(&take(&mut a, &[NOISE]), &[NOISE]).unwrap();
    assert_eq!((a.outcome(), b.outcome()), (Outcome::Pending, Outcome::Pending));
    assert!(take(&mut a, &[NOISE]).is_empty() && take(&mut b, &[NOISE]).is_empty());
}

#[test]
fn vul_054_two_dialers_of_the_same_name_take_each_others_proposal_for_an_echo_as_the_specification_has_it() {
    // Header and name are the same bytes in both roles: only the roles of the security handshake tell them apart.
    let (mut a, mut b) = (Negotiation::dialer(), Negotiation::dialer());
    let (there, back) = (take(&mut a, &[NOISE]), take(&mut b, &[NOISE]));
    a.handle_input(&back, &[NOISE]).unwrap();
    b.handle_input(&there, &[NOISE]).unwrap();
    assert_eq!(
        (a.outcome(), b.outcome()),
        (Outcome::Agreed(0), Outcome::Agreed(0))
    );
}

// covers: MSS-037
#[test]
fn no_more_than_one_message_is_held_and_early_data_not_at_all() {
    let mut listener = Negotiation::listener();
    let early = vec![7; 1 << 20];
    let proposal = [HEADER, &line(NOISE.as_str().as_bytes())].concat();
    let info = measure(|| {
        // Incomplete: the longest message but for its last byte.
        listener.handle_input(HEADER, &[NOISE]).unwrap();
        let long = line(&[b'x'; 1023]);
        listener.handle_input(&long[..1025], &[NOISE]).unwrap();
    });
    assert!(info.bytes_max <= 2100, "{info:?}");
    let info = measure(|| {
        listener.handle_input(b"\n", &[NOISE]).unwrap();
    });
    assert!(info.bytes_current < 0, "and given back");
    let mut listener = Negotiation::listener();
    let wire = [&proposal[..], &early].concat();
    let info = measure(|| assert_eq!(listener.handle_input(&wire, &[NOISE]), Ok(proposal.len())));
    assert_eq!(info.count_total, 0);
    assert_eq!(listener.handle_input(&early, &[NOISE]), Ok(0));
}

// covers: MSS-067, MSS-068
#[test]
fn a_negotiation_is_small_and_proposals_are_not_copied() {
    assert!(size_of::<Negotiation>() < 128, "{}", size_of::<Negotiation>());
    println!("{} bytes", size_of::<Negotiation>());
    let names: Vec<_> = (1..=64).map(|n| name(10 + n)).collect();
    let names = &names[..];
    let mut wire = Vec::with_capacity(8192);
    let mut dialer = Negotiation::dialer();
    let info = measure(|| {
        dialer.handle_input(HEADER, &names).unwrap();
        for _ in 0..64 {
            assert!(dialer.poll_transmit(&names, &mut TransmitBuf::new(&mut wire, 8192)));
            dialer.handle_input(NA, &names).unwrap();
        }
    });
    assert_eq!((info.count_total, dialer.outcome()), (0, Outcome::Refused));
}

#[test]
fn every_error_has_a_word_and_a_text_of_its_own() {
    let errors = [
        Error::LineTooLong,
        Error::BadLength,
        Error::NoNewline,
        Error::NotMultistream,
        Error::SecondHeader,
        Error::UnexpectedReply,
        Error::TooManyProposals,
        Error::UnexpectedEnd,
        Error::BadLimit("message"),
    ];
    let codes: BTreeSet<_> = errors.iter().map(Error::code).collect();
    let texts: BTreeSet<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!((codes.len(), texts.len()), (errors.len(), errors.len()));
}

// covers: MSS-039
#[test]
fn no_code_of_ours_asks_for_a_list() {
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("\"ls\""));
    }
}

/// A negotiation as the laws see it.
struct Lawful(Negotiation, bool);

impl Machine for Lawful {
    fn handle_input(&mut self, _: Instant, input: &mut [u8]) -> Result<usize, String> {
        self.0
            .handle_input(input, &[NOISE, PING])
            .map_err(|error| error.to_string())
    }

    fn poll_transmit(&mut self, _: Instant, out: &mut TransmitBuf<'_>) -> bool {
        self.0.poll_transmit(&[NOISE, PING], out)
    }

    fn poll_event(&mut self) -> Option<Said> {
        if self.1 || self.0.outcome() == Outcome::Pending {
            return None;
        }
        self.1 = true;
        Some(Said::Word(format!("{:?}", self.0.outcome())))
    }
}

fn laws(side: Side) -> Laws<Lawful> {
    Laws::of(move |_| Lawful(Negotiation::of(side), false))
}

// covers: MSS-005, MSS-066
#[test]
fn the_laws_of_machines_hold_in_both_roles() {
    let ping = b"/ipfs/ping/1.0.0";
    for script in [
        Script::new()
            .input(HEADER)
            .input(NA)
            .input(&line(ping))
            .input(b"data"),
        Script::new().input(&[HEADER, &line(b"/noise"), b"data"].concat()),
        Script::new()
            .input(HEADER)
            .input(NA)
            .input(NA)
            .input(b"\xff\xff\xff"),
    ] {
        laws(Side::Dialer).hold(&script);
    }
    for script in [
        Script::new().input(&said(&[b"/x", b"ls", ping])).input(b"data"),
        Script::new().input(HEADER).input(&line(b"/noise")),
        Script::new().input(&said(&[b"/x"])).input(b"\xff\xff\xff"),
    ] {
        laws(Side::Listener).hold(&script);
    }
    for bad in [&b"\x00"[..], b"\x80\x80", b"\x02na", b"\x06/noise\n"] {
        for side in [Side::Dialer, Side::Listener] {
            laws(side).are_kept_after_an_error(&Script::new().input(bad), 38);
            laws(side).hold(&Script::new().input(bad));
        }
    }
    laws(Side::Listener).are_kept_after_an_error(&Script::new().input(HEADER).input(HEADER), 0);
}

/// Messages and pieces of messages, right and wrong ones.
fn any_wire() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(HEADER.to_vec()),
        3 => Just(NA.to_vec()),
        3 => Just(line(b"/noise")),
        2 => Just(line(b"ls")),
        2 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(|text| line(&text)),
        1 => proptest::collection::vec(any::<u8>(), 0..10),
        1 => (1000_usize..1030).prop_map(|len| line(&vec![b'/'; len])),
    ];
    proptest::collection::vec(piece, 0..50).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // covers: MSS-069
    #[test]
    fn no_bytes_in_no_pieces_make_either_role_panic_and_the_pieces_do_not_matter(
        dials: bool,
        wire in any_wire(),
        cuts in proptest::collection::vec(1_usize..60, 1..20),
    ) {
        let side = if dials { Side::Dialer } else { Side::Listener };
        let run = |mut pieces: Box<dyn Iterator<Item = usize>>| {
            let mut machine = Negotiation::of(side);
            let mut said = take(&mut machine, &[NOISE]);
            let (mut begin, mut end, mut result) = (0, 0, Ok(0));
            while end < wire.len() {
                end = (end + pieces.next().unwrap()).min(wire.len());
                result = machine.handle_input(&wire[begin..end], &[NOISE]);
                match result {
                    Ok(taken) => {
                        assert!(taken <= end - begin);
                        begin += taken;
                    }
                    Err(_) => break,
                }
            }
            let outcome = machine.outcome();
            said.extend(take(&mut machine, &[NOISE]));
            let end = machine.handle_eof();
            // What is left belongs to the protocol.
            let rest = if result.is_err() { 0 } else { wire.len() - begin };
            (said, outcome, result.err(), end.err(), rest)
        };
        let whole = run(Box::new(std::iter::repeat(usize::MAX / 2)));
        let cut = run(Box::new(cuts.into_iter().cycle()));
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn two_ends_agree_on_the_dialers_first_name_that_the_listener_has(
        ours in proptest::collection::vec(0_usize..12, 1..10),
        theirs in proptest::collection::vec(0_usize..12, 0..10),
        piece in 1_usize..50,
    ) {
        let names = |list: &[usize]| -> Vec<ProtocolName> { list.iter().map(|n| name(5 + n)).collect() };
        let (offers, accepts) = (names(&ours), names(&theirs));
        let (offers, accepts) = (&offers[..], &accepts[..]);
        let (mut dialer, mut listener) = (Negotiation::dialer(), Negotiation::listener());
        for _ in 0..30 {
            for part in take(&mut dialer, &offers).chunks(piece) {
                listener.handle_input(part, &accepts).unwrap();
            }
            for part in take(&mut listener, &accepts).chunks(piece) {
                dialer.handle_input(part, &offers).unwrap();
            }
        }
        let expected = ours.iter().position(|n| theirs.contains(n));
        if let Some(place) = expected {
            prop_assert_eq!(dialer.outcome(), Outcome::Agreed(place));
            let there = theirs.iter().position(|n| *n == ours[place]).unwrap();
            prop_assert_eq!(listener.outcome(), Outcome::Agreed(there));
        } else {
            prop_assert_eq!(dialer.outcome(), Outcome::Refused);
            prop_assert_eq!((listener.outcome(), listener.handle_eof()), (Outcome::Pending, Ok(())));
            prop_assert_eq!(listener.outcome(), Outcome::Refused);
        }
    }
}
