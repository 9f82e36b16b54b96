//! A list of checks, each told as it is done.

use crate::table::Totals;
use serde_json::json;
use std::error::Error;

/// What a check ended with: a detail, or why it failed.
pub(crate) type Checked = Result<String, Box<dyn Error>>;

/// Checks that are not cells of the table of pairs.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    totals: Totals,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            totals: Totals::default(),
        }
    }

    /// Notes a check and tells it.
    pub(crate) fn note(&mut self, name: &str, checked: Checked) {
        let (passed, detail) = match checked {
            Ok(detail) => (true, detail),
            Err(error) => (false, error.to_string()),
        };
        let count = if passed {
            &mut self.totals.passed
        } else {
            &mut self.totals.failed
        };
        *count = count.saturating_add(1);
        if self.json {
            println!(
                "{}",
                json!({"check": name, "outcome": if passed { "passed" } else { "failed" }, "detail": detail})
            );
        } else {
            let outcome = if passed { "ok " } else { "RED" };
            let colon = if detail.is_empty() { "" } else { ": " };
            println!("{outcome} {name}{colon}{detail}");
        }
    }

    /// Says whether all passed.
    pub(crate) fn finish(self, seconds: u64) -> bool {
        let Totals { passed, failed, .. } = self.totals;
        if self.json {
            println!(
                "{}",
                json!({"passed": passed, "failed": failed, "seconds": seconds})
            );
        } else {
            println!("\n{seconds} s\n{}", self.totals);
        }
        failed == 0 && passed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::Report;

    #[test]
    fn a_report_is_good_only_if_something_passed_and_nothing_failed() {
        let of = |checks: &[bool]| {
            let mut report = Report::new(true);
            for passed in checks {
                let checked = if *passed {
                    Ok(String::new())
                } else {
                    Err("e".into())
                };
                report.note("check", checked);
            }
            report.finish(0)
        };
        assert!(of(&[true, true]));
        assert!(!of(&[true, false]));
        assert!(!of(&[]));
    }
}
