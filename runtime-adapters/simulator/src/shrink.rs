//! Cutting a list of faults down to those that matter (delta debugging, after Zeller and Hildebrandt).

/// The smallest part of `all` that could be found for which `fails` still says yes: without any one of its items it says no. `fails` is asked `most` times at most;
/// it must say yes for `all`, else all of it is given back.
pub fn shrink<T: Clone>(all: &[T], most: usize, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut left = all.to_vec();
    let mut asked = 0_usize;
    let mut parts = 2_usize;
    while left.len() > 1 && asked < most {
        let size = left.len().div_ceil(parts.min(left.len())).max(1);
        let mut smaller = None;
        let mut start = 0_usize;
        while start < left.len() && asked < most {
            let end = start.saturating_add(size).min(left.len());
            let mut rest = left.clone();
            rest.drain(start..end);
            asked = asked.saturating_add(1);
            if fails(&rest) {
                smaller = Some(rest);
                break;
            }
            start = end;
        }
        match smaller {
            Some(rest) => {
                left = rest;
                parts = parts.saturating_sub(1).max(2);
            }
            None if size == 1 => break,
            None => parts = parts.saturating_mul(2),
        }
    }
    if left.len() == 1 && asked < most && fails(&[]) {
        left.clear();
    }
    left
}

#[cfg(test)]
mod tests {
    use super::shrink;

    #[test]
    fn of_a_hundred_faults_the_two_that_matter_are_left() {
        let all: Vec<u32> = (0..100).collect();
        let left = shrink(&all, 1000, |part| part.contains(&17) && part.contains(&83));
        assert_eq!(left, [17, 83]);
    }

    #[test]
    fn what_fails_without_any_fault_is_cut_down_to_nothing_and_a_budget_is_kept() {
        assert!(shrink(&[1, 2, 3], 100, |_| true).is_empty());
        let mut asked = 0;
        shrink(&(0..64).collect::<Vec<_>>(), 10, |_| {
            asked += 1;
            false
        });
        assert!(asked <= 10);
    }
}
