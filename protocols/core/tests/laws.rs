//! The framing reader keeps the laws of a machine.

use libp2p_proto_core::{Instant, TransmitBuf, framing};
use libp2p_proto_laws::{Laws, Machine, Said, Script};
use std::collections::VecDeque;

struct Frames {
    reader: framing::LengthDelimited,
    said: VecDeque<Said>,
}

impl Machine for Frames {
    fn handle_input(&mut self, _: Instant, input: &mut [u8]) -> Result<usize, String> {
        let mut rest = &*input;
        while let Some(frame) = self
            .reader
            .next_frame(&mut rest)
            .map_err(|error| format!("{error:?}"))?
        {
            self.said.push_back(Said::Word(format!("{frame:?}")));
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    fn poll_transmit(&mut self, _: Instant, _: &mut TransmitBuf<'_>) -> bool {
        false
    }

    fn poll_event(&mut self) -> Option<Said> {
        self.said.pop_front()
    }
}

fn laws() -> Laws<Frames> {
    Laws::of(|_| Frames {
        reader: framing::LengthDelimited::new(300),
        said: VecDeque::new(),
    })
}

// covers: COR-011
#[test]
fn the_laws_hold_for_frames_of_every_size_and_after_a_frame_that_is_too_large() {
    let mut wire = Vec::new();
    for len in [0, 1, 127, 128, 300, 3] {
        framing::encode(&vec![0x5a; len], &mut wire);
    }
    laws().hold(&Script::new().input(&wire));
    for bad in [&[0xad, 0x02][..], &[0x80, 0x00], &[0xff; 9]] {
        let script = Script::new().input(&[&wire[..], bad].concat());
        laws().hold(&script);
        laws().are_kept_after_an_error(&script, 0);
    }
}
