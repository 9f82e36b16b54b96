//! A lookup as a picture: time from left to right, distance to the key from top to bottom.

use super::Traced;
use libp2p_proto_core::PeerId;
use libp2p_proto_kad::{Key, Step};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 540.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Answered,
    Failed,
}

/// One request.
#[derive(Clone, Debug)]
struct Bar {
    peer: PeerId,
    from: Option<PeerId>,
    hop: u16,
    bits: u16,
    begin: Duration,
    end: Duration,
    how: End,
}

/// All requests of a lookup, in the order in which they began.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    bars: Vec<Bar>,
    took: Duration,
}

impl Picture {
    pub(super) fn of(place: &Key, traced: &Traced) -> Self {
        let mut bars: Vec<Bar> = Vec::new();
        for told in &traced.steps {
            let how = match told.step {
                Step::Asked { hop, key, from } => {
                    bars.push(Bar {
                        peer: told.peer,
                        from,
                        hop,
                        bits: place.common_prefix(&key),
                        begin: told.at,
                        end: traced.effort.took,
                        how: End::Open,
                    });
                    continue;
                }
                Step::Answered { .. } => End::Answered,
                Step::Failed(_) => End::Failed,
                _ => continue,
            };
            if let Some(bar) = bars.iter_mut().find(|bar| bar.peer == told.peer) {
                (bar.end, bar.how) = (told.at, how);
            }
        }
        Self {
            bars,
            took: traced.effort.took,
        }
    }

    pub(super) fn svg(&self, key: &str) -> String {
        let took = self.took.as_secs_f64().max(1e-6);
        let deepest = f64::from(self.bars.iter().map(|bar| bar.bits).max().unwrap_or(0).max(1));
        let x = |at: Duration| LEFT + (WIDTH - LEFT - RIGHT) * (at.as_secs_f64() / took).min(1.0);
        // Bars of equal distance are told apart by their order.
        let mut rows: BTreeMap<PeerId, f64> = BTreeMap::new();
        let mut at_depth: BTreeMap<u16, f64> = BTreeMap::new();
        let room = (HEIGHT - TOP - BOTTOM) / (deepest + 1.0);
        for bar in &self.bars {
            let same = self.bars.iter().filter(|other| other.bits == bar.bits).count();
            let step = room / (f64::from(u32::try_from(same).unwrap_or(u32::MAX)) + 1.0);
            let used = at_depth.entry(bar.bits).or_default();
            *used += step;
            rows.insert(bar.peer, TOP + room * f64::from(bar.bits) + *used);
        }
        let mut svg = String::new();
        // Writing to a string does not fail.
        let _ok = writeln!(
            svg,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>
<text x="{LEFT}" y="22" font-size="14">lookup of {}: {} requests in {:.1} ms</text>"#,
            escaped(key),
            self.bars.len(),
            took * 1e3,
        );
        Self::axes(&mut svg, took, deepest, room);
        for bar in &self.bars {
            let y = rows.get(&bar.peer).copied().unwrap_or(TOP);
            let (begin, end) = (x(bar.begin), x(bar.end));
            let named = bar.from.and_then(|from| Some((from, rows.get(&from)?)));
            if let Some((from, row)) = named {
                let heard = self
                    .bars
                    .iter()
                    .find(|other| other.peer == from)
                    .map(|other| x(other.end));
                let heard = heard.unwrap_or(begin);
                let _ok = writeln!(
                    svg,
                    r##"<line x1="{heard:.1}" y1="{row:.1}" x2="{begin:.1}" y2="{y:.1}" stroke="#bbb" stroke-width="0.7"/>"##
                );
            }
            let colour = match bar.how {
                End::Answered => "#2a7",
                End::Failed => "#c33",
                End::Open => "#888",
            };
            let _ok = writeln!(
                svg,
                r#"<line x1="{begin:.1}" y1="{y:.1}" x2="{end:.1}" y2="{y:.1}" stroke="{colour}" stroke-width="3"><title>{} hop {} shares {} bits</title></line>"#,
                bar.peer, bar.hop, bar.bits
            );
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(svg: &mut String, took: f64, deepest: f64, room: f64) {
        let mut bits = 0.0;
        while bits <= deepest {
            let y = TOP + room * bits;
            let _ok = writeln!(
                svg,
                r##"<line x1="{LEFT}" y1="{y:.1}" x2="{:.1}" y2="{y:.1}" stroke="#eee"/><text x="{:.1}" y="{:.1}" text-anchor="end">{bits}</text>"##,
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + room / 2.0
            );
            bits += 1.0;
        }
        for tick in 0..=5_u8 {
            let share = f64::from(tick) / 5.0;
            let x = LEFT + (WIDTH - LEFT - RIGHT) * share;
            let _ok = writeln!(
                svg,
                r#"<text x="{x:.1}" y="{:.1}" text-anchor="middle">{:.1}</text>"#,
                HEIGHT - BOTTOM + 18.0,
                took * share * 1e3
            );
        }
        let _ok = writeln!(
            svg,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="middle">ms</text><text x="16" y="{:.1}" transform="rotate(-90 16 {:.1})" text-anchor="middle">bits shared with the key</text>"#,
            WIDTH / 2.0,
            HEIGHT - 10.0,
            HEIGHT / 2.0,
            HEIGHT / 2.0
        );
    }
}

/// A text between tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Key, PeerId, Picture, Step};
    use crate::kad::{Told, Traced};
    use libp2p_proto_kad::{Effort, Failure};
    use std::time::Duration;

    #[test]
    fn each_request_is_a_bar_and_each_name_a_line() {
        let place = Key::of(b"key");
        let peer = |number: u8| PeerId::from_encoded_key(&[number; 36]);
        let told = |millis, number, step| Told {
            at: Duration::from_millis(millis),
            peer: peer(number),
            step,
        };
        let asked = |number, hop, from: Option<u8>| Step::Asked {
            hop,
            key: Key::of_peer(&peer(number)),
            from: from.map(peer),
        };
        let steps = vec![
            told(0, 1, asked(1, 0, None)),
            told(5, 1, Step::Answered { named: 2 }),
            told(5, 2, asked(2, 1, Some(1))),
            told(5, 3, asked(3, 1, Some(1))),
            told(9, 2, Step::Failed(Failure::TimedOut)),
        ];
        let effort = Effort {
            took: Duration::from_millis(10),
            ..Effort::default()
        };
        let traced = Traced {
            steps,
            result: Ok(vec![peer(1)]),
            effort,
        };
        let svg = Picture::of(&place, &traced).svg("<key>");
        assert_eq!(svg.matches("stroke-width=\"3\"").count(), 3);
        assert_eq!(svg.matches("stroke=\"#bbb\"").count(), 2);
        for part in [
            "#2a7",
            "#c33",
            "#888",
            "&lt;key&gt;",
            "3 requests in 10.0 ms",
            "</svg>",
        ] {
            assert!(svg.contains(part), "{part}");
        }
    }
}
