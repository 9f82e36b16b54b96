//! Plots as SVG, drawn by hand: a frame, two axes, one line or bars.

use crate::plan::Report;
use std::fmt::Write as _;

/// One plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// A name for a file.
    pub name: &'static str,
    /// What stands above it.
    pub title: String,
    /// What the horizontal axis counts.
    pub x: &'static str,
    /// What the vertical axis counts.
    pub y: &'static str,
    /// Points, from left to right.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 76.0;
const BOTTOM: f64 = 44.0;
const TOP: f64 = 36.0;
const RIGHT: f64 = 16.0;
const TICKS: u32 = 5;

/// The plots of a report: how long round trips took, events per second, connections, and memory by the machines' own account.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub fn plots(report: &Report) -> Vec<Plot> {
    let seconds = |at: libp2p_proto_core::Instant| at.as_nanos() as f64 / 1e9;
    let mut rates = Vec::new();
    for (before, after) in report.samples.iter().zip(report.samples.iter().skip(1)) {
        let time = seconds(after.at) - seconds(before.at);
        let events = after.events.saturating_sub(before.events) as f64;
        rates.push((seconds(after.at), events / time.max(1e-9)));
    }
    let over_time = |figure: fn(&crate::stats::Sample) -> usize| {
        let points = report.samples.iter();
        points
            .map(|sample| (seconds(sample.at), figure(sample) as f64))
            .collect()
    };
    let mut seen = 0_u64;
    let count = report.latencies.count().max(1) as f64;
    let latencies = report.latencies.buckets().map(|(size, times)| {
        seen = seen.saturating_add(times);
        (size.as_secs_f64() * 1e3, seen as f64 * 100.0 / count)
    });
    let latencies: Vec<_> = latencies.collect();
    let plot = |name, title: &str, x, y, points| Plot {
        name,
        title: title.into(),
        x,
        y,
        points,
    };
    vec![
        plot(
            "latency",
            "Round trips: share that took no longer",
            "milliseconds",
            "per cent",
            latencies,
        ),
        plot("messages", "Delivered events", "seconds", "per second", rates),
        plot(
            "connections",
            "Connections, counted at both ends",
            "seconds",
            "connections",
            over_time(|sample| sample.connections),
        ),
        plot(
            "memory",
            "Bytes held by links, connections, address books and protocols, by their own account",
            "seconds",
            "bytes",
            over_time(|sample| sample.held),
        ),
    ]
}

impl Plot {
    /// The plot as an SVG document.
    pub fn svg(&self) -> String {
        let most = |axis: fn(&(f64, f64)) -> f64| self.points.iter().map(axis).fold(0.0_f64, f64::max);
        let (x_most, y_most) = (round_up(most(|point| point.0)), round_up(most(|point| point.1)));
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        let x_of = |x: f64| LEFT + x / x_most * width;
        let y_of = |y: f64| TOP + height - y / y_most * height;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"22\" font-size=\"15\" fill=\"#1a1a2e\">{}</text>\n",
            self.title
        );
        // Writing to a string does not fail.
        let mut draw = |line: std::fmt::Arguments<'_>| {
            let _never = svg.write_fmt(line);
            svg.push('\n');
        };
        for tick in 0..=TICKS {
            let share = f64::from(tick) / f64::from(TICKS);
            let (x, y) = (x_of(share * x_most), y_of(share * y_most));
            let (x_text, y_text) = (number(share * x_most), number(share * y_most));
            let right = WIDTH - RIGHT;
            draw(format_args!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#e3e6ee\"/>"
            ));
            draw(format_args!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555b6e\">{y_text}</text>",
                LEFT - 8.0,
                y + 4.0
            ));
            draw(format_args!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555b6e\">{x_text}</text>",
                HEIGHT - BOTTOM + 18.0
            ));
        }
        let points: Vec<_> = self
            .points
            .iter()
            .map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y)))
            .collect();
        draw(format_args!(
            "<polyline fill=\"none\" stroke=\"#2f5fd0\" stroke-width=\"2\" stroke-linejoin=\"round\" points=\"{}\"/>",
            points.join(" ")
        ));
        draw(format_args!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555b6e\">{}</text>",
            LEFT + width / 2.0,
            HEIGHT - 8.0,
            self.x
        ));
        draw(format_args!(
            "<text x=\"14\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555b6e\" transform=\"rotate(-90 14 {:.1})\">{}</text>",
            TOP + height / 2.0,
            TOP + height / 2.0,
            self.y
        ));
        svg.push_str("</svg>\n");
        svg
    }
}

/// The next number of the form 1, 2, 2.5 or 5 times a power of ten.
fn round_up(number: f64) -> f64 {
    if number <= 0.0 || !number.is_finite() {
        return 1.0;
    }
    let power = 10.0_f64.powf(number.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
    let fits = steps.iter().find(|step| power * **step >= number);
    power * fits.unwrap_or(&10.0)
}

fn number(value: f64) -> String {
    let (value, unit) = match value {
        value if value >= 1e9 => (value / 1e9, "G"),
        value if value >= 1e6 => (value / 1e6, "M"),
        value if value >= 1e4 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_and_every_point_is_inside() {
        let plot = Plot {
            name: "n",
            title: "t".into(),
            x: "x",
            y: "y",
            points: vec![(0.0, 0.0), (3.0, 17.0), (7.0, 4.0)],
        };
        let svg = plot.svg();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains(">10<") && svg.contains(">20<"), "{svg}");
        let points = svg
            .split("points=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap();
        assert_eq!(points, "76.0,316.0 264.4,78.0 515.6,260.0");
    }

    #[test]
    fn a_plot_without_points_is_still_a_document() {
        let plot = Plot {
            name: "n",
            title: "t".into(),
            x: "x",
            y: "y",
            points: Vec::new(),
        };
        assert!(!plot.svg().contains("NaN"));
    }
}
