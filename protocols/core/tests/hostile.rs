//! Known failures of other implementations in multihashes, ids and addresses, and what ours does instead.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use data_encoding::{BASE32_NOPAD, HEXLOWER as HEX};
use libp2p_proto_core::{
    Component, Multiaddr, PeerId,
    multiaddr::{Certhash, Error, MAX_BYTES, MAX_COMPONENTS},
    varint,
};
use proptest::{collection::vec, prelude::*};

const SHA: &[u8; 68] = b"12209dff3b17d74cf4d38a50d8b6383e92d181a10395a5e73a726dcccbd21bf6f0b9";
const KEY: &[u8; 76] = b"0024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e";

/// The codes of the table, with a legal value of each, the length in front where there is one.
fn legal() -> Vec<(u64, Vec<u8>)> {
    let sized = |value: &[u8]| {
        let mut out = Vec::new();
        varint::encode(value.len() as u64, &mut out);
        out.extend_from_slice(value);
        out
    };
    let sha = sized(&HEX.decode(SHA).unwrap());
    let mut all = vec![
        (4, vec![1, 2, 3, 4]),
        (41, vec![0x20; 16]),
        (43, vec![24]),
        (421, sha.clone()),
        (444, vec![7; 12]),
        (445, vec![7; 37]),
        (446, sized(&[9; 386])),
        (447, sized(&[9; 32])),
        (466, sha),
        (400, sized(b"/a")),
        (777, vec![0; 8]),
    ];
    all.extend([6, 33, 132, 273].map(|code| (code, vec![0, 80])));
    all.extend([42, 53, 54, 55, 56, 449, 481, 4770, 4780].map(|code| (code, sized(b"a"))));
    all.extend(
        [
            275, 276, 277, 280, 281, 290, 301, 302, 443, 448, 454, 460, 461, 465, 477, 478, 479, 480,
        ]
        .map(|code| (code, Vec::new())),
    );
    all
}

fn component(code: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::encode(code, &mut out);
    out.extend_from_slice(value);
    out
}

/// Whatever is accepted prints, parses back to the same bytes, and is rebuilt from its components.
fn check(bytes: &[u8]) -> Result<Multiaddr, Error> {
    let read = Multiaddr::from_bytes(bytes.to_vec())?;
    assert_eq!(read.as_bytes(), bytes);
    let printed = read.to_string();
    assert!(!printed.contains(char::is_control), "{printed:?}");
    assert_eq!(printed.parse::<Multiaddr>().as_ref(), Ok(&read), "{printed}");
    assert_eq!(Multiaddr::from_components(read.components()).as_ref(), Ok(&read));
    Ok(read)
}

#[test]
fn vul_151_every_prefix_and_every_length_of_a_multihash_is_an_id_or_an_error() {
    for whole in [&SHA[..], KEY] {
        let whole = HEX.decode(whole).unwrap();
        assert!(PeerId::from_bytes(&whole).is_ok());
        for end in 0..whole.len() {
            assert!(PeerId::from_bytes(&whole[..end]).is_err());
            assert!(Certhash::new(&whole[..end]).is_none());
        }
        // The length byte lies, upwards and downwards.
        for len in (0..=255_u8).filter(|len| *len != whole[1]) {
            let mut lying = whole.clone();
            lying[1] = len;
            assert!(PeerId::from_bytes(&lying).is_err());
            assert!(Certhash::new(&lying).is_none());
        }
    }
    for len in 0..=1000_usize {
        let mut identity = vec![0x00];
        varint::encode(len as u64, &mut identity);
        identity.resize(identity.len() + len, 1);
        assert_eq!(PeerId::from_bytes(&identity).is_ok(), len <= 42, "{len}");
    }
    // A code that is not minimal: `80 00` for identity, `92 80 00` for sha2-256.
    assert!(PeerId::from_bytes(&[0x80, 0, 1, 1]).is_err());
    let mut long = vec![0x92, 0x00, 0x20];
    long.extend([7; 32]);
    assert!(PeerId::from_bytes(&long).is_err());
    assert!(Certhash::new(&long).is_none());
}

// covers: COR-061, COR-065, COR-068
#[test]
fn vul_152_every_code_with_nothing_less_more_and_huge_lengths() {
    let legal = legal();
    assert_eq!(legal.len(), 42);
    for (code, value) in &legal {
        let (code, exact) = (*code, component(*code, value));
        assert!(check(&exact).is_ok(), "{code}");
        if !value.is_empty() {
            assert_eq!(check(&component(code, &[])), Err(Error::Truncated), "{code}");
            assert!(check(&exact[..exact.len() - 1]).is_err(), "{code}: one byte less");
        }
        // One byte more is the code 0x7f of no protocol.
        let more = [&exact[..], &[0x7f]].concat();
        assert!(check(&more).is_err(), "{code}: one byte more");
        for huge in [
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x80; 9],
            &[0x80, 0x08, 0x61],
        ] {
            let huge = [&component(code, &[])[..], huge].concat();
            if let Err(error) = check(&huge) {
                assert_ne!(error, Error::Empty);
            }
        }
    }
    for code in (0..6000).filter(|code| !legal.iter().any(|(known, _)| known == code)) {
        let number = u32::try_from(code).unwrap();
        assert_eq!(
            check(&component(code, b"\x01a")),
            Err(Error::UnknownProtocol(number))
        );
    }
}

// covers: COR-068, COR-071, COR-076, COR-077, COR-082
#[test]
fn vul_152_empty_missing_and_endless_text_is_an_error() {
    for text in [
        "",
        "/",
        "//",
        "/ip4",
        "/ip4/",
        "/ip6zone//ip6/fe80::1",
        "/ip6/fe80::1%eth0",
        "/tcp/65536",
        "/tcp/-1",
        "/wss/tcp",
        "/dns",
        "/ip4/1.2.3.4//tcp/1",
    ] {
        assert!(text.parse::<Multiaddr>().is_err(), "{text}");
    }
    assert_eq!(
        "/p2p-circuit".repeat(10_000).parse::<Multiaddr>(),
        Err(Error::TooLong)
    );
    assert_eq!(
        "/tls"
            .repeat(MAX_COMPONENTS)
            .parse::<Multiaddr>()
            .unwrap()
            .components()
            .count(),
        32
    );
    assert_eq!(
        "/tls".repeat(MAX_COMPONENTS + 1).parse::<Multiaddr>(),
        Err(Error::TooLong)
    );
    let name = |len: usize| format!("/dns/{}", "a".repeat(len)).parse::<Multiaddr>();
    assert_eq!(name(1 << 20), Err(Error::TooLong));
    // A name of any length that fits the address is carried; whether it can be resolved is asked where it is resolved.
    assert_eq!(name(300).unwrap().as_bytes().len(), 303);
    assert_eq!(name(MAX_BYTES - 3).unwrap().as_bytes().len(), MAX_BYTES);
    assert_eq!(name(MAX_BYTES - 2), Err(Error::TooLong));
    assert_eq!(
        Multiaddr::from_bytes([0xa2, 0x02].repeat(10_000)),
        Err(Error::TooLong)
    );
}

#[test]
fn the_longest_address_of_each_kind_prints_and_parses_back() {
    for (code, fill) in [
        (481, 0x00),
        (481, b'/'),
        (4770, 0x7f),
        (53, b'%'),
        (446, 0xff),
        (447, 0xff),
    ] {
        assert!(
            check(&component(
                code,
                &[&[0xfc, 0x07][..], &vec![fill; MAX_BYTES - 4]].concat()
            ))
            .is_ok()
        );
    }
    // 32 paths of escapes are the longest text of all.
    let many = [&component(481, &[&[29][..], &[0; 29]].concat())[..]]
        .concat()
        .repeat(32);
    assert_eq!(many.len(), MAX_BYTES);
    assert!(check(&many).is_ok());
    let hashes = component(466, &[&[0xf8, 0x07, 0x12, 0xf5, 0x07][..], &[1; 1013]].concat());
    let read = check(&hashes).unwrap();
    let Some(Component::Certhash(hash)) = read.components().next() else {
        unreachable!("one certhash")
    };
    let hexadecimal = format!("/certhash/f{}", HEX.encode(hash.as_bytes()));
    assert_eq!(hexadecimal.parse::<Multiaddr>(), Ok(read));
}

#[test]
fn vul_159_names_are_opaque_bytes_without_control_characters() {
    let addr = |name: &str| format!("/dns/{name}").parse::<Multiaddr>();
    // No case folding, no punycode, no normalisation.
    assert_ne!(addr("EXAMPLE.com"), addr("example.com"));
    assert_ne!(addr("xn--bcher-kva.example"), addr("b\u{fc}cher.example"));
    assert_ne!(addr("b\u{fc}cher"), addr("bu\u{308}cher"));
    for name in [
        &"a".repeat(254),
        &"a".repeat(64),
        "xn--bcher-kva.example",
        "b\u{fc}cher",
        "a%00b",
        ".",
        "a..b",
    ] {
        let read = addr(name).unwrap();
        assert_eq!(read.components().next(), Some(Component::Dns(name)));
        assert_eq!(read.to_string(), format!("/dns/{name}"));
    }
    for name in ["a\u{0}b", "a\u{1b}[2J", "a\nb", "\u{7f}", "\u{9b}31m"] {
        assert_eq!(addr(name), Err(Error::BadValue("dns")), "{name:?}");
    }
    let bad = component(53, &[2, 0xff, 0xfe]);
    assert_eq!(Multiaddr::from_bytes(bad), Err(Error::BadValue("dns")));
}

// covers: COR-066, COR-076
#[test]
fn vul_190_ports_and_values_are_checked_on_both_doors() {
    for kind in ["tcp", "udp", "dccp", "sctp"] {
        let port = |port: &str| format!("/{kind}/{port}").parse::<Multiaddr>();
        assert!(port("65535").is_ok() && port("0").is_ok());
        for refused in [
            "65536",
            "65537",
            "4294967297",
            "+80",
            " 80",
            "080",
            "00",
            "8 0",
            "80 ",
            "\u{663}",
        ] {
            assert!(port(refused).is_err(), "{kind} {refused}");
        }
    }
    for broken in ["a50303120161", "d20303120261", "a503020012"] {
        assert!(
            Multiaddr::from_bytes(HEX.decode(broken.as_bytes()).unwrap()).is_err(),
            "{broken}"
        );
    }
    // Prefix lengths over that of the family are kept by everyone: the component doesn't know its address.
    for bits in ["33", "129", "255"] {
        let text = format!("/ip4/1.2.3.0/ipcidr/{bits}");
        let read: Multiaddr = text.parse().unwrap();
        assert_eq!(check(read.as_bytes()).unwrap().to_string(), text);
    }
}

/// An iterator that promises more than any memory, and keeps the promise.
struct Endless;

impl Iterator for Endless {
    type Item = Component<'static>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(Component::Tls)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX >> 4, None)
    }
}

#[test]
fn vul_191_a_promised_number_of_components_reserves_nothing() {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(Multiaddr::from_components(Endless)));
    assert_eq!(result, Some(Err(Error::TooLong)));
    assert!(used.bytes_max < 8 * MAX_BYTES as u64, "{used:?}");
}

// covers: COR-049, COR-053
#[test]
fn vul_192_a_cid_is_an_id_in_one_spelling_or_an_error() {
    let text = |cid: &[u8]| format!("b{}", BASE32_NOPAD.encode(cid).to_ascii_lowercase());
    let mut accepted = 0;
    for version in 0..4_u8 {
        for codec in 0..=255_u8 {
            for (code, len) in
                (0..=255_u8).flat_map(|code| [0, 1, 20, 31, 32, 33, 42, 43].map(|len| (code, len)))
            {
                // Every code with the right codec, every codec with the right code.
                if codec != 0x72 && !(code == 0x12 && len == 32) {
                    continue;
                }
                let mut cid = vec![version, codec, code, len];
                cid.resize(cid.len() + usize::from(len), 7);
                let Ok(id) = text(&cid).parse::<PeerId>() else {
                    continue;
                };
                accepted += 1;
                assert_eq!((version, codec), (1, 0x72));
                assert!(matches!((code, len), (0x00, 0..=42) | (0x12, 32)));
                assert_eq!(id.as_bytes(), &cid[2..]);
                assert_eq!(id.to_cid(), text(&cid));
            }
        }
    }
    assert_eq!(accepted, 8, "seven identity lengths and one digest");
    // Version 0 is a bare multihash in base58: only sha2-256 begins `Qm`, and only identity begins `1`.
    for code in 0..=255_u8 {
        for len in [0, 1, 32, 42, 64_u8] {
            let mut multihash = vec![code, len];
            multihash.resize(multihash.len() + usize::from(len), 7);
            let shown = bs58::encode(&multihash).into_string();
            let known = matches!((code, len), (0x00, 0..=42) | (0x12, 32));
            assert_eq!(shown.parse::<PeerId>().is_ok(), known, "{shown}");
        }
    }
    for overflow in [
        "ffffffffffffffffff01",
        "01ffffffffffffffffff01",
        "0172ffffffffffffffffff01",
    ] {
        assert!(
            text(&HEX.decode(overflow.as_bytes()).unwrap())
                .parse::<PeerId>()
                .is_err()
        );
        assert!(format!("f{overflow}").parse::<PeerId>().is_err());
    }
}

/// Runs of legal components, some of them damaged: deeper than random bytes come.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let table = legal();
    let one = prop_oneof![
        8 => (0..table.len()).prop_map(move |at| component(table[at].0, &table[at].1)),
        3 => (prop::sample::select(vec![42_u64, 53, 56, 400, 421, 446, 447, 449, 466, 481, 4770]), vec(any::<u8>(), 0..50))
            .prop_map(|(code, value)| component(code, &[&[u8::try_from(value.len()).unwrap()][..], &value].concat())),
        3 => (prop::sample::select(vec![53_u64, 481, 400, 449]), "\\PC{0,12}|/[a-z/]{0,12}")
            .prop_map(|(code, value)| component(code, &[&[u8::try_from(value.len()).unwrap()][..], value.as_bytes()].concat())),
        1 => vec(any::<u8>(), 1..12),
    ];
    (
        vec(one, 1..12),
        prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
        0..20_usize,
    )
        .prop_map(|(parts, flip, cut)| {
            let mut bytes = parts.concat();
            if let Some((at, with)) = flip {
                let at = at.index(bytes.len());
                bytes[at] ^= with;
            }
            if cut > 16 {
                bytes.truncate(bytes.len().saturating_sub(cut));
            }
            bytes
        })
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig::with_cases(asked.cases.max(4096))
}

proptest! {
    #![proptest_config(cases())]

    // covers: COR-067, COR-069
    #[test]
    fn whatever_bytes_are_accepted_print_and_parse_back(bytes in vec(any::<u8>(), 0..64)) {
        let _ = check(&bytes);
    }

    // covers: COR-067, COR-069
    #[test]
    fn damaged_addresses_are_refused_or_print_and_parse_back(bytes in damaged()) {
        if let Ok(read) = check(&bytes) {
            // The helpers hold their ends together on everything that is accepted.
            let (rest, peer) = read.split_peer_id();
            if let (Some(rest), Some(peer)) = (&rest, peer)
                && rest.peer_id().is_none()
            {
                let again = rest.with_peer_id(peer).unwrap();
                prop_assert_eq!(again.split_peer_id(), (Some(rest.clone()), Some(peer)));
                // A path that stood before its peer is put behind it.
                let misplaced = matches!(rest.components().last(), Some(Component::HttpPath(_))) && again != read;
                prop_assert!(again == read || misplaced);
            }
            if let Some((relay, target)) = read.split_relay() {
                let circuit = Multiaddr::from_components([Component::P2pCircuit]).unwrap();
                let parts = [relay, Some(circuit), target];
                let joined = parts.iter().flatten().flat_map(Multiaddr::components);
                prop_assert_eq!(&Multiaddr::from_components(joined).unwrap(), &read);
            }
            let last = read.components().last().unwrap();
            let suffix = Multiaddr::from_components([last]).unwrap();
            let before = read.decapsulate(&suffix);
            prop_assert_eq!(before.is_none(), read.components().count() == 1);
            if let Some(before) = before {
                prop_assert_eq!(before.encapsulate(&suffix).unwrap(), read.clone());
            }
            let _ = (read.class(), read.ip(), read.socket_tcp(), read.relay_and_target());
        }
    }

    #[test]
    fn vul_190_text_and_binary_accept_the_same_set(text in "(/(ip4|ip6|tcp|dns|p2p|http-path|unix|onion|certhash|memory|ip6zone|ipcidr|tls|ws|sni|garlic32)(/([0-9a-z.:%+-]{0,12}|[0-9]{1,6}|\\PC{0,4}))?){1,5}/?") {
        if let Ok(read) = text.parse::<Multiaddr>() {
            prop_assert!(check(read.as_bytes()).is_ok());
        }
    }
}
