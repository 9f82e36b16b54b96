//! What criterion measured, as ratios between ours and the peer's.

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The estimate of one function of one group, in nanoseconds.
fn estimate(home: &Path, group: &str, function: &str) -> Option<f64> {
    let file = home.join(group).join(function).join("new/estimates.json");
    let text = fs::read_to_string(file).ok()?;
    let estimates: Value = serde_json::from_str(&text).ok()?;
    estimates.pointer("/median/point_estimate")?.as_f64()
}

/// Prints how `ours` compares with each of `peers` in a group that was measured just now: below 1 ours is faster.
pub fn print(group: &str, ours: &str, peers: &[&str]) {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    let home = target.join("criterion");
    let Some(mine) = estimate(&home, group, ours) else {
        return;
    };
    for peer in peers {
        if let Some(theirs) = estimate(&home, group, peer) {
            println!(
                "{group}: {ours} / {peer} = {:.2} ({mine:.0} ns / {theirs:.0} ns)",
                mine / theirs
            );
        }
    }
}
