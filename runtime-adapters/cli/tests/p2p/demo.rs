//! `demo`: two processes, one table.

use crate::support::run;

#[test]
fn the_demo_ends_in_a_table_of_what_was_negotiated_and_measured() {
    let done = run(&["demo", "--mib", "2"]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(done.stderr, "");
    let table = &done.lines()[0];
    assert!(
        table["listener"]
            .as_str()
            .unwrap()
            .starts_with("mio, /ip4/127.0.0.1/tcp/"),
        "{table}"
    );
    assert!(table["dialer"].as_str().unwrap().starts_with("tokio"), "{table}");
    assert_eq!(table["security"], "/noise");
    assert_eq!(table["multiplexer"], "/yamux/1.0.0");
    for who in ["dialer learned", "listener learned"] {
        assert!(
            table[who].as_str().unwrap().starts_with("libp2p-proto/"),
            "{table}"
        );
    }
    for what in ["upload", "download"] {
        assert!(table[what].as_str().unwrap().starts_with("2 MiB in "), "{table}");
    }
    assert!(
        table["round trip"].as_str().unwrap().contains("median"),
        "{table}"
    );
}
