//! Perf in both roles: requests of any size, uploads without end.

use crate::scene;
use core::time::Duration;
use libp2p_proto_perf::{Config, Perf};

/// Runs one input.
///
/// # Panics
///
/// If the machine does not keep its word.
pub fn run(data: &[u8]) {
    let config = Config {
        serve: true,
        timeout: Duration::from_secs(1),
        max_bytes: 1 << 20,
        ..Config::default()
    };
    let make = || Perf::new(config).expect("the configuration is valid");
    scene::lead(data, 2 << 20, &scene::strangers(), make, |perf, peer, choice| {
        if choice % 2 == 0 {
            let size = u64::from(choice) * 1000;
            let _full_is_fine = perf.run(peer, size, size);
        } else {
            while perf.poll_event().is_some() {}
        }
    });
}
