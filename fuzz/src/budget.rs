//! What a machine may cost for the bytes it was given.

/// Runs `act` and asserts that it never held more than `most` bytes of its own at the same time, in this thread.
///
/// # Panics
///
/// If it held more.
pub fn memory<R>(what: &str, most: usize, act: impl FnOnce() -> R) -> R {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(act()));
    let held = usize::try_from(info.bytes_max).unwrap_or(usize::MAX);
    assert!(held <= most, "{what}: {held} bytes held, {most} allowed");
    match result {
        Some(result) => result,
        None => unreachable!("`measure` runs its function"),
    }
}

/// Asserts that at most `most` of something were made.
///
/// # Panics
///
/// If there were more.
pub fn at_most(what: &str, made: usize, most: usize) {
    assert!(made <= most, "{what}: {made}, {most} allowed");
}
