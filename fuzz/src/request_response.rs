//! Requests and responses in all framings and both roles.

use crate::{budget, scene};
use libp2p_proto_core::{ProtocolName, Rate};
use libp2p_proto_request_response::{Config, Event, Excess, Request, RequestResponse, Spec};

const NAMES: [ProtocolName; 5] = [
    ProtocolName::from_static("/end/1"),
    ProtocolName::from_static("/json/1"),
    ProtocolName::from_static("/cbor/1"),
    ProtocolName::from_static("/length/1"),
    ProtocolName::from_static("/chunks/1"),
];

fn machine() -> RequestResponse {
    let [end, json, cbor, length, chunks] = NAMES;
    let specs = vec![
        Spec::until_end(end, 4096, 4096).allow_empty(),
        Spec::json(json, 4096, 4096).answer_early(),
        Spec::cbor(cbor, 4096, 4096),
        Spec::length_delimited(length, 4096, 4096).rate(Rate::per_second(10, 5), Excess::Delay),
        Spec::chunks(chunks, 0..=4096, 0..=4096),
    ];
    let config = Config {
        max_held: 64 * 1024,
        ..Config::default()
    };
    RequestResponse::new(specs, config).expect("the configuration is valid")
}

/// Runs one input.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    let mut asked = Vec::new();
    scene::lead(
        data,
        1 << 20,
        &scene::strangers(),
        machine,
        |machine, peer, choice| {
            budget::at_most("bytes of requests", machine.census().held, 64 * 1024);
            let spec = choice % 5;
            match choice / 5 % 8 {
                0 => {
                    let request = Request::new(spec, "[1]").or(0, "fallback");
                    let _full_is_fine = machine.request_with(peer, request);
                }
                1 => {
                    let request = Request::new(spec, "[1]").in_parts().max_chunks(u64::from(spec));
                    if let Ok(id) = machine.request_with(peer, request) {
                        if choice % 2 == 0 {
                            machine.cancel(id);
                        }
                    }
                }
                2 => {
                    while let Some(event) = machine.poll_event() {
                        if let Event::Request { id, data, .. } = event {
                            budget::at_most("bytes of a request", data.len(), 4096);
                            asked.push(id);
                        }
                    }
                }
                kind => {
                    if let Some(id) = asked.pop() {
                        let _gone_is_fine = match kind {
                            3 => machine.respond(id, "[2]".into()),
                            4 => machine.respond_part(id, None, "[2]".into()),
                            5 => machine.finish(id),
                            6 => machine.reject(id),
                            _ => machine.omit(id),
                        };
                    }
                }
            }
        },
    );
}
