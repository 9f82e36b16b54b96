//! Negotiations as a listener and as a dialer, in the pieces that the input chooses.

use crate::budget;
use arbitrary::Unstructured;
use libp2p_proto_core::{ProtocolName, Side, TransmitBuf};
use libp2p_proto_multistream_select::Negotiation;

const NAMES: [ProtocolName; 2] = [
    ProtocolName::from_static("/noise"),
    ProtocolName::from_static("/tls/1.0.0"),
];

/// Runs one input: its first byte chooses side and pieces, the rest is what the peer says.
pub fn run(data: &[u8]) {
    let mut choices = Unstructured::new(data);
    let side = if choices.arbitrary().unwrap_or(false) {
        Side::Dialer
    } else {
        Side::Listener
    };
    let piece = choices.int_in_range(1..=64).unwrap_or(1);
    let said = choices.take_rest();
    budget::memory("a negotiation", 16 * 1024, || negotiate(side, piece, said));
}

fn negotiate(side: Side, piece: usize, said: &[u8]) {
    let mut negotiation = Negotiation::of(side);
    let mut output = Vec::with_capacity(4096);
    let mut begin = 0;
    let mut end = 0;
    let mut written = 0;
    // A dialer that has not proposed anything takes no answer.
    while negotiation.poll_transmit(&NAMES, &mut TransmitBuf::new(&mut output, 4096)) {}
    while end < said.len() {
        end = (end + piece).min(said.len());
        match negotiation.handle_input(&said[begin..end], &NAMES) {
            Ok(taken) => {
                assert!(taken <= end - begin);
                begin += taken;
            }
            Err(_) => break,
        }
        output.clear();
        while negotiation.poll_transmit(&NAMES, &mut TransmitBuf::new(&mut output, 4096)) {}
        written += output.len();
    }
    budget::at_most("answers", written, 64 + 2 * said.len());
}
