//! Secrets are wiped where they lay, and never printed.

use super::{CURVES, identity, keypair};
use libp2p_proto_identity::Keypair;
use zeroize::ZeroizeOnDrop;

// covers: COR-047
#[test]
fn vul_064_nothing_that_can_be_printed_prints_a_secret() {
    // That a key pair has no `Debug`, no `Display`, no comparison and no copy is shown where it is defined, by code that does not compile.
    for key_type in CURVES {
        let keys = keypair(key_type, 0x41);
        let encoded = keys.encode_protobuf();
        let public = format!("{:?} {:?}", keys.public(), keys.public().data());
        let owner = libp2p_proto_identity::Identity::from(keys);
        let shown = format!("{owner:?} {owner:#?}");
        assert!(
            shown.starts_with(&format!("Identity({})", owner.peer_id())),
            "{shown}"
        );
        // No part of the private encoding that is not public.
        for part in encoded.windows(4) {
            let [hexadecimal, decimal] = [format!("{part:02x?}"), format!("{part:?}")];
            let inner = decimal.trim_matches(['[', ']']);
            assert!(!shown.contains(&hexadecimal) && (public.contains(inner) || !shown.contains(inner)));
        }
    }
    assert_eq!(format!("{:?}", identity(1)), format!("{:?}", identity(1).clone()));
}

const fn is_wiped<T: ZeroizeOnDrop>() {}

// covers: COR-047
#[test]
fn vul_064_every_part_of_a_key_pair_is_of_a_type_that_wipes_itself() {
    is_wiped::<Keypair>();
    is_wiped::<ed25519_dalek::SigningKey>();
    is_wiped::<k256::ecdsa::SigningKey>();
    is_wiped::<p256::ecdsa::SigningKey>();
    is_wiped::<zeroize::Zeroizing<Vec<u8>>>();
}
