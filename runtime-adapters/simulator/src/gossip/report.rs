//! What is to be reached, a table beside what was published, and a plot.

use super::paper::{Attack, Outcome, Router};
use crate::stats::Histogram;
use core::{fmt::Write as _, time::Duration};

/// What an experiment has to show: the bands of our evaluation plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// What it demands, in words.
    pub demands: &'static str,
    /// Whether the outcome shows it; `None`: nothing is demanded.
    pub met: Option<bool>,
}

/// Bands in words, for a router without scores and one with.
const fn demands(attack: Attack) -> (&'static str, &'static str) {
    match attack {
        Attack::Baseline => ("loss 0, p99 < 400 ms", "loss 0, p99 < 300 ms"),
        Attack::EclipseNet => ("loss 5..50 %, max > 10 s", "loss 0, p99 < 400 ms, max < 3 s"),
        Attack::CovertFlash => ("p99 > 3 s", "loss 0, p99 < 1.2 s, settled p99 < 400 ms"),
        Attack::Dawn => ("p99 > 3 s", "loss 0, 99 % within 3 s"),
        Attack::EclipseSingle | Attack::CensorSingle => ("-", "target: loss 0, max < 1 s"),
        Attack::EclipsePublishers => ("loss or p99 > 1 s", "loss 0, p99 < 1 s"),
        Attack::Degrade => ("-", "loss 0, settled p99 < 500 ms"),
        Attack::ColdBoot | Attack::Colocation => ("loss < 5 %, p99 > 3 s", "loss 0, p99 < 1.2 s"),
    }
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl Outcome {
    /// What it had to show, and whether it does.
    pub fn band(&self) -> Band {
        let attack = self.experiment.attack;
        let (plain, scored) = demands(attack);
        if self.experiment.router.is_scored() {
            Band {
                demands: scored,
                met: Some(self.is_in_scored_band()),
            }
        } else {
            Band {
                demands: plain,
                met: self.is_in_plain_band(),
            }
        }
    }

    fn p99(&self) -> Duration {
        self.all.per_mille(990)
    }

    fn is_in_plain_band(&self) -> Option<bool> {
        let (lost, p99) = (self.lost(), self.p99());
        let slow = p99 > millis(3000);
        match self.experiment.attack {
            Attack::Baseline => Some(lost == 0.0 && p99 < millis(400)),
            Attack::EclipseNet => Some((5.0..=50.0).contains(&lost) && self.all.max() > millis(10_000)),
            Attack::ColdBoot | Attack::Colocation => Some(lost < 5.0 && slow),
            Attack::CovertFlash | Attack::Dawn => Some(slow),
            Attack::EclipsePublishers => Some(lost > 0.0 || p99 > millis(1000)),
            Attack::EclipseSingle | Attack::CensorSingle | Attack::Degrade => None,
        }
    }

    fn is_in_scored_band(&self) -> bool {
        let (whole, p99) = (self.lost() == 0.0, self.p99());
        let settled = self.settled.per_mille(990);
        match self.experiment.attack {
            Attack::Baseline => whole && p99 < millis(300),
            Attack::EclipseNet => whole && p99 < millis(400) && self.all.max() < millis(3000),
            Attack::ColdBoot | Attack::Colocation => whole && p99 < millis(1200),
            Attack::CovertFlash => whole && p99 < millis(1200) && settled < millis(400),
            Attack::Dawn => whole && p99 < millis(3000),
            Attack::EclipseSingle | Attack::CensorSingle => {
                self.lost_target() == 0.0 && self.target.max() < millis(1000)
            }
            Attack::EclipsePublishers => whole && p99 < millis(1000),
            Attack::Degrade => whole && settled < millis(500),
        }
    }
}

/// What the paper reports, as digests of it say, and what an independent re-run found.
const fn published(attack: Attack, router: Router) -> (&'static str, &'static str) {
    match (attack, router.is_scored()) {
        (Attack::EclipseNet, false) => ("10 % lost, max 50 s", "15.4 % lost, p99 25.8 s, max 41.4 s"),
        (Attack::EclipseNet, true) => ("0 lost, max 178 ms", "0 lost, p99 173 ms, max 1.3 s"),
        (Attack::ColdBoot, false) => ("4 % lost, p99 10 s, max 17 s", "0.022 % lost, p99 7.8 s"),
        (Attack::ColdBoot, true) => ("0 lost, p99 205..269 ms", "p99 231 ms"),
        (Attack::CovertFlash, false) => ("losses, > 15 s", "0.013 % lost, p99 7.5 s"),
        (Attack::CovertFlash, true) => ("0 lost", "p99 188 ms"),
        _ => ("-", "-"),
    }
}

/// A table in Markdown: paper, independent re-run, ours.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::from(
        "| scenario | router | paper | independent re-run | lost % | p50 ms | p99 ms | max s | < 3 s % | < 6 s % | copies/delivery | least honest % | recovered s | band | met |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        let Outcome { experiment, all, .. } = outcome;
        let (paper, again) = published(experiment.attack, experiment.router);
        let ms = |share| all.per_mille(share).as_secs_f64() * 1e3;
        let share = |count: u64| count as f64 * 100.0 / outcome.expected.max(1) as f64;
        let band = outcome.band();
        let recovered = match (outcome.taken_over, outcome.recovered) {
            (false, _) => String::from("-"),
            (true, Some(seconds)) => seconds.to_string(),
            (true, None) => String::from("never"),
        };
        let copies = outcome.duplicates.saturating_add(all.count()) as f64 / all.count().max(1) as f64;
        // Writing to a string does not fail.
        let _never = writeln!(
            text,
            "| {} | {} | {paper} | {again} | {:.4} | {:.0} | {:.0} | {:.2} | {:.3} | {:.3} | {copies:.2} | {} | {recovered} | {} | {} |",
            experiment.attack.name(),
            experiment.router.name(),
            outcome.lost(),
            ms(500),
            ms(990),
            all.max().as_secs_f64(),
            share(outcome.in_time.0),
            share(outcome.in_time.1),
            outcome.least_honest,
            band.demands,
            band.met.map_or("-", |met| if met { "yes" } else { "NO" }),
        );
    }
    text
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 160.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 46.0;
/// From 10 ms to 100 s.
const DECADES: u32 = 4;
const COLORS: [&str; 4] = ["#c0392b", "#2f5fd0", "#1e8449", "#8e44ad"];

/// The distribution of delays as an SVG document: for each name the per cent of `expected` deliveries that took no longer. Lines stand at 3 s and 6 s, the deadlines of
/// Ethereum and Filecoin.
pub fn cdf(title: &str, lines: &[(&str, &Histogram, u64)]) -> String {
    let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
    let x_of = |ms: f64| LEFT + (ms.max(10.0).log10() - 1.0) / f64::from(DECADES) * width;
    let y_of = |share: f64| TOP + height * (1.0 - share / 100.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"15\" fill=\"#1a1a2e\">{title}</text>\n"
    );
    let bottom = HEIGHT - BOTTOM;
    for decade in 0..=DECADES {
        let x = x_of(10.0_f64.powi(i32::try_from(decade).unwrap_or(0).saturating_add(1)));
        let label = ["10 ms", "100 ms", "1 s", "10 s", "100 s"]
            .get(decade as usize)
            .unwrap_or(&"");
        let _never = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#e3e6ee\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555b6e\">{label}</text>",
            bottom + 18.0
        );
    }
    for share in [0.0, 25.0, 50.0, 75.0, 100.0] {
        let y = y_of(share);
        let _never = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#e3e6ee\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555b6e\">{share} %</text>",
            LEFT + width,
            LEFT - 6.0,
            y + 4.0
        );
    }
    for deadline in [3000.0, 6000.0] {
        let x = x_of(deadline);
        let _never = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#999fb0\" stroke-dasharray=\"4 3\"/>"
        );
    }
    for (place, (name, delays, expected)) in lines.iter().enumerate() {
        let color = place
            .checked_rem(COLORS.len())
            .and_then(|place| COLORS.get(place));
        let color = color.unwrap_or(&"#000000");
        let points = points(delays, *expected);
        let points: Vec<String> = points
            .iter()
            .map(|(ms, share)| format!("{:.1},{:.1}", x_of(*ms), y_of(*share)))
            .collect();
        let row = f64::from(u32::try_from(place).unwrap_or(0)).mul_add(20.0, TOP + 14.0);
        let text = LEFT + width + 12.0;
        let _never = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" stroke-linejoin=\"round\" points=\"{}\"/>\
             <text x=\"{text:.1}\" y=\"{row:.1}\" fill=\"{color}\">{name}</text>",
            points.join(" ")
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn points(delays: &Histogram, expected: u64) -> Vec<(f64, f64)> {
    let mut seen = 0_u64;
    let mut points = vec![(10.0, 0.0)];
    for (size, times) in delays.buckets() {
        let ms = size.as_secs_f64() * 1e3;
        points.push((ms, seen as f64 * 100.0 / expected.max(1) as f64));
        seen = seen.saturating_add(times);
        points.push((ms, seen as f64 * 100.0 / expected.max(1) as f64));
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_ends_at_what_was_delivered() {
        let mut delays = Histogram::default();
        for ms in [20, 200, 2000] {
            delays.add(millis(ms));
        }
        let points = points(&delays, 4);
        assert_eq!(points.last().map(|point| point.1), Some(75.0));
        let svg = cdf("t", &[("a", &delays, 4)]);
        assert!(svg.ends_with("</svg>\n") && svg.contains(">a<") && !svg.contains("NaN"));
    }
}
