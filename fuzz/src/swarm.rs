//! A whole swarm between connections and protocols that keep hardly a rule: the same script runner as the swarm's own tests.

use crate::budget;

#[path = "../../protocols/swarm/tests/support/chaos.rs"]
#[allow(unreachable_pub, reason = "it is also a module of the swarm's tests")]
mod chaos;

/// Steps of one input beyond these say nothing new.
const MAX_INPUT: usize = 4096;

/// Runs one input as a script of steps. Order, counts and limits are asserted by the script runner after each step.
pub fn run(data: &[u8]) {
    let script = data.get(..MAX_INPUT).unwrap_or(data);
    // What happened is kept in words, so the input counts in it, too.
    let most = 4 * 1024 * 1024 + 4096 * script.len();
    budget::memory("a swarm", most, || drop(chaos::run(script)));
}
