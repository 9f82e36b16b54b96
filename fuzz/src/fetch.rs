//! Fetch in both roles, and with it the helper for one request and one response.

use crate::scene;
use libp2p_proto_fetch::Fetch;

/// Runs one input.
pub fn run(data: &[u8]) {
    let make = || Fetch::new(|key| (!key.is_empty()).then(|| key.to_owned().into()));
    scene::lead(data, 1 << 20, &scene::strangers(), make, |fetch, peer, choice| {
        if choice % 2 == 0 {
            let _full_is_fine = fetch.fetch(peer, "key");
        } else {
            while fetch.poll_event().is_some() {}
        }
    });
}
