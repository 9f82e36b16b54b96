//! Every message of every protocol beside prost: it means the same to both, or is an error to both.
//!
//! The messages of prost hold what the wire says (`wire`), and a function for each protocol says what that means: the same text as the protocol's own, read by somebody else.
//! A part that is read only when the type asks for it, and of which the last one counts, is bytes to both.

mod gossip;
mod nat;
mod stores;

use libp2p_proto_core::protobuf::{Limits, ProtobufError, Reader, Value};

/// A message as its protocol reads it, and as prost and the meaning say: `None` is an error.
type Compare = fn(&[u8]);

const COMPARE: [Compare; 11] = [
    stores::identify,
    stores::kad,
    stores::record,
    stores::rendezvous,
    nat::hop,
    nat::stop,
    nat::dcutr,
    nat::autonat_v1,
    nat::autonat_v2,
    nat::dial_back,
    gossip::rpc,
];

// covers: VUL-157
/// Runs one input: a byte that chooses the message, and the message.
pub fn run(data: &[u8]) {
    let Some((choice, message)) = data.split_first() else {
        return;
    };
    COMPARE[usize::from(*choice) % COMPARE.len()](message);
}

/// Whether a group is among the fields, at any depth that these bytes could have: prost reads over it, we refuse it. Limits of ours that prost lacks are not met by such short inputs.
fn holds_a_group(message: &[u8]) -> bool {
    fields(message, holds_a_group)
}

/// Whether a group is among the fields themselves.
fn is_with_group(message: &[u8]) -> bool {
    fields(message, |_| false)
}

/// Reads until a group, or until `inner` says that there is one in a field's bytes.
fn fields(message: &[u8], inner: impl Fn(&[u8]) -> bool) -> bool {
    let mut reader = Reader::new(message, Limits::default());
    loop {
        match reader.next_field() {
            Ok(Some(field)) => {
                if matches!(field.value, Value::Bytes(bytes) if inner(bytes)) {
                    return true;
                }
            }
            Ok(None) => return false,
            Err(error) => return error == ProtobufError::BadWireType(3),
        }
    }
}

/// Asserts that both say the same of this message.
fn agree<T: PartialEq + core::fmt::Debug, E: core::fmt::Debug>(
    message: &[u8],
    ours: Result<T, E>,
    theirs: Option<T>,
) {
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) => assert_eq!(ours, theirs),
        (Err(_), None) => {}
        (Err(error), Some(theirs)) => {
            assert!(holds_a_group(message), "only we refuse {theirs:?}: {error:?}");
        }
        (Ok(ours), None) => panic!("only prost refuses {ours:?}"),
    }
}
