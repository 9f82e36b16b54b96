//! What came out of a run, as a JSON text that can be read again: a long series of runs goes on where it was stopped.

use super::paper::{Experiment, Outcome};
use crate::{stats::Histogram, trace::TraceHash};
use core::time::Duration;
use serde_json::{Value, json};

/// Changes when an outcome means something else than it did: older texts are not read.
const VERSION: u64 = 1;

impl Experiment {
    /// A name for the file of its outcome: attack, router and seed.
    pub fn file_name(&self) -> String {
        let router = self.router.name().replace(' ', "-");
        format!("{}.{router}.{}.json", self.attack.name(), self.seed)
    }

    /// What an outcome must have been measured with to be this run's.
    fn stamp(&self) -> Value {
        let scale = self.scale;
        json!({
            "version": VERSION,
            "attack": self.attack.name(),
            "router": self.router.name(),
            "seed": self.seed,
            "honest": scale.honest,
            "dials": scale.dials,
            "degree per cent": scale.degree_percent,
            "rate": scale.rate,
            "size": scale.size,
        })
    }
}

impl Outcome {
    /// All of it as JSON.
    pub fn to_json(&self) -> String {
        let delays = |histogram: &Histogram| {
            let buckets: Vec<Value> = histogram
                .buckets()
                .map(|(size, times)| json!([micros(size), times]))
                .collect();
            json!({"max ns": nanos(histogram.max()), "us, times": buckets})
        };
        let text = json!({
            "experiment": self.experiment.stamp(),
            "published": self.published,
            "expected": self.expected,
            "expected settled": self.expected_settled,
            "expected target": self.expected_target,
            "all": delays(&self.all),
            "settled": delays(&self.settled),
            "target": delays(&self.target),
            "in 3 s": self.in_time.0,
            "in 6 s": self.in_time.1,
            "duplicates": self.duplicates,
            "least honest per cent": self.least_honest,
            "recovered s": self.recovered,
            "taken over": self.taken_over,
            "events": self.events,
            "trace hash": self.hash.to_string(),
        });
        format!("{text}\n")
    }

    /// Reads [`to_json`](Self::to_json) again. `None`: it is not the outcome of this experiment, or not whole.
    pub fn from_json(experiment: Experiment, text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        if value.get("experiment") != Some(&experiment.stamp()) {
            return None;
        }
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        let recovered = value.get("recovered s")?;
        Some(Self {
            experiment,
            published: number("published")?,
            expected: number("expected")?,
            expected_settled: number("expected settled")?,
            expected_target: number("expected target")?,
            all: histogram(value.get("all")?)?,
            settled: histogram(value.get("settled")?)?,
            target: histogram(value.get("target")?)?,
            in_time: (number("in 3 s")?, number("in 6 s")?),
            duplicates: number("duplicates")?,
            least_honest: number("least honest per cent")?,
            recovered: if recovered.is_null() {
                None
            } else {
                Some(recovered.as_u64()?)
            },
            taken_over: value.get("taken over")?.as_bool()?,
            events: number("events")?,
            hash: TraceHash::parse(value.get("trace hash")?.as_str()?)?,
        })
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn histogram(value: &Value) -> Option<Histogram> {
    let max = Duration::from_nanos(value.get("max ns")?.as_u64()?);
    let mut histogram = Histogram::default();
    for bucket in value.get("us, times")?.as_array()? {
        let size = Duration::from_micros(bucket.get(0)?.as_u64()?);
        histogram.add_many(size.min(max), bucket.get(1)?.as_u64()?);
    }
    if histogram.count() > 0 {
        // The largest value is known better than its bucket.
        histogram.raise_max(max);
    }
    Some(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::{Attack, Router, Scale};

    #[test]
    fn an_outcome_is_read_as_it_was_written_and_only_for_its_own_experiment() {
        let experiment = Experiment {
            attack: Attack::EclipseSingle,
            router: Router::V10,
            scale: Scale {
                honest: 12,
                dials: 4,
                ..Scale::small(2.0)
            },
            seed: 3,
        };
        let outcome = experiment.run(|_| {}).unwrap();
        assert!(outcome.all.count() > 100);
        let text = outcome.to_json();
        let again = Outcome::from_json(experiment, &text).unwrap();
        assert_eq!(again.to_json(), text);
        assert_eq!((&again.all, again.hash), (&outcome.all, outcome.hash));
        assert_eq!(again.all.per_mille(990), outcome.all.per_mille(990));
        let other = Experiment {
            seed: 4,
            ..experiment
        };
        assert!(Outcome::from_json(other, &text).is_none());
        let cut = text.get(..text.len() / 2).unwrap();
        assert!(Outcome::from_json(experiment, cut).is_none());
    }
}
