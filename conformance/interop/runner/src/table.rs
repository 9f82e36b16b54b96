//! The table: cells down, peers and directions across; then what is red, and what is known.

use crate::{cells::Direction, known::Outcome};
use serde_json::json;
use std::fmt::{self, Display, Formatter};

/// One cell of the run.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) peer: String,
    pub(crate) direction: Direction,
    pub(crate) cell: String,
    pub(crate) outcome: Outcome,
}

impl Row {
    /// The name that `known-failures.json` uses.
    pub(crate) fn name(peer: &str, direction: Direction, cell: &str) -> String {
        format!("{peer} {} {cell}", direction.name())
    }

    /// One line of the table as JSON.
    pub(crate) fn json(&self) -> String {
        let (outcome, detail, why) = match &self.outcome {
            Outcome::Passed(detail) => ("passed", detail, None),
            Outcome::Failed(error) => ("failed", error, None),
            Outcome::Known(why, error) => ("known", error, Some(why)),
            Outcome::Skipped(why) => ("skipped", why, None),
        };
        json!({
            "peer": self.peer, "direction": self.direction.name(), "cell": self.cell,
            "outcome": outcome, "detail": detail, "why": why,
        })
        .to_string()
    }
}

/// How many cells ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) known: usize,
    pub(crate) skipped: usize,
}

/// All that was run.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Peers in the order of their columns, each with its version.
    pub(crate) peers: Vec<(String, String)>,
    pub(crate) rows: Vec<Row>,
    /// Entries of `known-failures.json` without a cell.
    pub(crate) stale: Vec<String>,
}

impl Table {
    pub(crate) fn totals(&self) -> Totals {
        let count = |is: fn(&Outcome) -> bool| self.rows.iter().filter(|row| is(&row.outcome)).count();
        Totals {
            passed: count(|outcome| matches!(outcome, Outcome::Passed(_))),
            failed: count(|outcome| matches!(outcome, Outcome::Failed(_))).saturating_add(self.stale.len()),
            known: count(|outcome| matches!(outcome, Outcome::Known(..))),
            skipped: count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        }
    }

    fn at(&self, peer: &str, direction: Direction, cell: &str) -> Option<&Outcome> {
        let row = self
            .rows
            .iter()
            .find(|row| row.peer == peer && row.direction == direction && row.cell == cell);
        row.map(|row| &row.outcome)
    }

    /// The cells in the order in which they were run first.
    fn cells(&self) -> Vec<&str> {
        let mut cells: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !cells.contains(&row.cell.as_str()) {
                cells.push(&row.cell);
            }
        }
        cells
    }

    fn grid(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let cells = self.cells();
        let first = cells.iter().map(|cell| cell.len()).max().unwrap_or_default();
        // A direction is as wide as the widest thing below it, and two of them as wide as the peer's name.
        let width = |peer: &str| peer.chars().count().saturating_sub(1).div_ceil(2).max(7);
        write!(f, "{:first$}", "")?;
        for (peer, _) in &self.peers {
            let both = width(peer).saturating_mul(2).saturating_add(1);
            write!(f, "  {peer:both$}")?;
        }
        write!(f, "\n{:first$}", "")?;
        for (peer, _) in &self.peers {
            let width = width(peer);
            write!(f, "  {:width$} {:width$}", "dialed", "dials")?;
        }
        writeln!(f)?;
        for cell in cells {
            write!(f, "{cell:first$}")?;
            for (peer, _) in &self.peers {
                let width = width(peer);
                let [dialed, dials] = Direction::ALL.map(|direction| symbol(self.at(peer, direction, cell)));
                write!(f, "  {dialed:width$} {dials:width$}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

const fn symbol(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Passed(_)) => "ok",
        Some(Outcome::Failed(_)) => "RED",
        Some(Outcome::Known(..)) => "known",
        Some(Outcome::Skipped(_)) => "-",
        None => "",
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.grid(f)?;
        writeln!(f)?;
        for (peer, version) in &self.peers {
            write!(f, "{peer}: {version}")?;
            for direction in Direction::ALL {
                if let Some(Outcome::Passed(rate)) = self.at(peer, direction, "perf:67108864:67108864") {
                    write!(f, "; {} {rate}", direction.name())?;
                }
            }
            writeln!(f)?;
        }
        let list = |f: &mut Formatter<'_>, title: &str, lines: Vec<String>| -> fmt::Result {
            if lines.is_empty() {
                return Ok(());
            }
            writeln!(f, "\n{title}")?;
            lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
        };
        let named = |row: &Row| Row::name(&row.peer, row.direction, &row.cell);
        let known = |row: &Row| match &row.outcome {
            Outcome::Known(why, error) => Some(format!("{}: {why} [{error}]", named(row))),
            _ => None,
        };
        let red = |row: &Row| match &row.outcome {
            Outcome::Failed(error) => Some(format!("{}: {error}", named(row))),
            _ => None,
        };
        list(
            f,
            "known: cells that cannot pass, with the reason from conformance/interop/known-failures.json and what was seen",
            self.rows.iter().filter_map(known).collect(),
        )?;
        let stale = self
            .stale
            .iter()
            .map(|name| format!("{name}: is listed as a known failure, but is no cell"));
        list(f, "RED", self.rows.iter().filter_map(red).chain(stale).collect())
    }
}

/// The last line, in the form that test runners use.
impl Display for Totals {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let skipped = self.skipped.saturating_add(self.known);
        write!(
            f,
            "{} passed, {} failed, {skipped} skipped",
            self.passed, self.failed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Table, Totals};
    use crate::{cells::Direction, known::Outcome};

    fn table() -> Table {
        let row = |direction, cell: &str, outcome| Row {
            peer: "go".into(),
            direction,
            cell: cell.into(),
            outcome,
        };
        let known = Outcome::Known("upstream's fault: `boom`".into(), "reset".into());
        Table {
            peers: vec![("go".into(), "go-libp2p 1.2.3".into())],
            rows: vec![
                row(Direction::OursDials, "connect", Outcome::Passed("1.0 ms".into())),
                row(Direction::OursDials, "echo:a", known),
                row(
                    Direction::OursDials,
                    "perf:67108864:67108864",
                    Outcome::Passed("9 MiB/s".into()),
                ),
                row(Direction::DialsOurs, "connect", Outcome::Failed("refused".into())),
                row(Direction::DialsOurs, "echo:a", Outcome::Skipped("no echo".into())),
            ],
            stale: vec!["go dials ours nothing".into()],
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_cell_and_says_what_is_red_and_why_the_rest_is_known() {
        let expected = "\
                        \x20 go             
                        \x20 dialed  dials  
connect                 \x20 ok      RED    
echo:a                  \x20 known   -      
perf:67108864:67108864  \x20 ok             

go: go-libp2p 1.2.3; ours dials 9 MiB/s

known: cells that cannot pass, with the reason from conformance/interop/known-failures.json and what was seen
  go ours dials echo:a: upstream's fault: `boom` [reset]

RED
  go dials ours connect: refused
  go dials ours nothing: is listed as a known failure, but is no cell
";
        let shown = table().to_string();
        let squeeze = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect()
        };
        assert_eq!(squeeze(&shown), squeeze(expected));
        let place = |line: usize, text: &str| shown.lines().nth(line).and_then(|line| line.find(text));
        assert_eq!(
            place(1, "dials"),
            place(2, "RED"),
            "columns stand below their heads"
        );
    }

    #[test]
    fn stale_entries_count_as_failures_and_known_failures_as_skipped() {
        let totals = table().totals();
        let expected = Totals {
            passed: 2,
            failed: 2,
            known: 1,
            skipped: 1,
        };
        assert_eq!(totals, expected);
        assert_eq!(totals.to_string(), "2 passed, 2 failed, 2 skipped");
    }

    #[test]
    fn a_row_as_json_carries_everything() {
        let json: serde_json::Value = serde_json::from_str(&table().rows[1].json()).unwrap();
        assert_eq!(json["peer"], "go");
        assert_eq!(json["direction"], "ours dials");
        assert_eq!(json["outcome"], "known");
        assert_eq!(json["why"], "upstream's fault: `boom`");
        assert_eq!(json["detail"], "reset");
    }
}
