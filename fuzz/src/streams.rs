//! Raw streams of an application that reads, or does not.

use crate::{budget, scene};
use libp2p_proto_core::ProtocolName;
use libp2p_proto_streams::{Config, Event, Streams};

const NAME: ProtocolName = ProtocolName::from_static("/raw/1");

/// Runs one input.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    let config = Config {
        max_streams: 32,
        read_capacity: 16 * 1024,
        write_capacity: 16 * 1024,
        recv_window: 64 * 1024,
        max_events: 32,
        ..Config::default()
    };
    let mut open = Vec::new();
    let make = || Streams::new(&[NAME], config).expect("one name is not too many");
    scene::lead(
        data,
        2 << 20,
        &scene::strangers(),
        make,
        |streams, peer, choice| {
            budget::at_most("streams", streams.len(), 32 + 128);
            let stream = open.get(usize::from(choice) % open.len().max(1)).copied();
            match (choice % 6, stream) {
                (0, _) => drop(streams.open(peer, &NAME)),
                (1, Some(stream)) => drop(streams.read(stream)),
                (2, Some(stream)) => drop(streams.write(stream, vec![choice; 1000].into())),
                (3, Some(stream)) => streams.finish(stream),
                (4, Some(stream)) => streams.reset(stream),
                _ => {
                    while let Some(event) = streams.poll_event() {
                        if let Event::Opened { stream, .. } | Event::Incoming { stream, .. } = event {
                            open.push(stream);
                        }
                    }
                }
            }
        },
    );
}
