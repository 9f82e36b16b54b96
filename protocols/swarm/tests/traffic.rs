//! What connections carried, as the swarm knows it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use core::time::Duration;
use libp2p_proto_stream_protocol::{FromConnection, Traffic};
use libp2p_proto_swarm::Config;
use support::{Bench, at, peer};

fn traffic(bytes_in: u64, bytes_out: u64, millis: u64) -> Traffic {
    Traffic {
        bytes_in,
        bytes_out,
        rtt: (millis > 0).then_some(Duration::from_millis(millis)),
    }
}

#[test]
fn each_connection_has_its_traffic_and_the_totals_outlive_it() {
    let mut bench = Bench::new(Config::default());
    let one = bench.inbound(at(0), peer(2), "/ip4/192.0.2.1/tcp/1");
    let two = bench.inbound(at(0), peer(3), "/ip4/192.0.2.2/tcp/1");
    assert_eq!(bench.swarm.traffic(one), Some(traffic(0, 0, 0)));
    bench.tell(at(1), one, FromConnection::Carried(traffic(10, 20, 5)));
    bench.tell(at(1), two, FromConnection::Carried(traffic(1, 2, 0)));
    bench.tell(at(2), one, FromConnection::Carried(traffic(110, 220, 0)));
    assert_eq!(bench.swarm.traffic(one), Some(traffic(110, 220, 5)));
    assert_eq!(bench.swarm.traffic(two), Some(traffic(1, 2, 0)));
    bench.gone(at(3), one);
    assert_eq!(bench.swarm.traffic(one), None);
    let stats = bench.swarm.stats();
    assert_eq!((stats.bytes_in, stats.bytes_out), (111, 222));
    // What comes too late, or shrinks, changes nothing.
    bench.tell(at(4), one, FromConnection::Carried(traffic(999, 999, 1)));
    bench.tell(at(4), two, FromConnection::Carried(traffic(0, 0, 0)));
    assert_eq!(bench.swarm.stats(), stats);
}
