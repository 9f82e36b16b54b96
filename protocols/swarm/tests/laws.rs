//! The laws, on random scripts: order, counts, limits, an end that leaves nothing, and the same outputs for the same inputs.

#[path = "support/chaos.rs"]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    unreachable_pub,
    reason = "tests fail by panicking"
)]
mod chaos;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // Counts equal a recount after every step (VUL-163, VUL-196), everything is free at the end (VUL-164), terminal events come once (VUL-196), and no clock
    // harms (VUL-166, VUL-167): it starts at 0, at one second and an hour before its end, and runs back.
    #[test]
    fn vul_196_order_counts_and_limits_hold_whatever_connections_and_protocols_do(
        script in proptest::collection::vec(any::<u8>(), 0..2500)
    ) {
        let trace = chaos::run(&script);
        prop_assert_eq!(chaos::run(&script), trace, "the same inputs, the same outputs");
    }
}

// covers: CON-017
#[test]
fn vul_164_every_way_to_end_leaves_nothing_behind() {
    // Long scripts with a bias to what succeeds: accept, authenticate, establish, open.
    let mut state = 1_u64;
    let mut dice = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    for start in 0..3 {
        let mut script = vec![start];
        for _ in 0..3000 {
            // What, where, and for a report: its kind and what it is about; then the budget of the drive.
            let (conn, what) = (dice() % 6, dice() % 4);
            script.extend(match dice() % 16 {
                0 | 1 => [[0, dice(), 7, 5, 0].as_slice(), &[0, what, 7, 5, 0, 2, 0, 7]].concat(),
                2 => vec![2, dice(), 7],
                3 => vec![3, conn, 7],
                4 => vec![5, conn, 0, what, 7],
                5 => vec![5, conn, 2, 0, 7],
                6 => vec![5, conn, 4, what, 7],
                7 => vec![5, conn, 4, what, 7, 5, conn, 6, 0, 7, 5, conn, 8, 0, 7],
                8 | 9 => vec![5, conn, 6, what, 7],
                10 => vec![5, conn, 7 + dice() % 3, what, 7],
                11 | 12 => vec![10, dice(), dice(), 7],
                13 => vec![13, 7, 7],
                14 => vec![12, dice() % 16, 7],
                _ => (0..5).map(|_| dice()).collect(),
            });
        }
        let trace = chaos::run(&script);
        let seen = |word: &str| trace.iter().filter(|line| line.starts_with(word)).count();
        for word in [
            "Connected",
            "Opened",
            "Frame",
            "Finished",
            "Closed",
            "Disconnected",
            "DialFailed",
        ] {
            assert!(seen(word) > 0, "no {word} in {} lines", trace.len());
        }
    }
}
