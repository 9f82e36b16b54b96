//! What drives the machine: inputs, commands, timers.

use super::{Gossipsub, Wish};
use crate::event::Feedback;
use libp2p_proto_core::{Deadline, Instant};
use libp2p_proto_stream_protocol::{BadCommand, Context, Fact, Input, Journal, Protocol, StreamSpec};

impl Gossipsub {
    fn carry_out(&mut self, cx: &mut Context<'_>, wish: Wish) {
        match wish {
            Wish::Join(topic) => self.join(cx, &topic),
            Wish::Leave(topic) => self.leave(cx, &topic),
            Wish::Publish {
                publication,
                topic,
                data,
                reported,
                local,
            } => self.publish_now(cx, publication, topic, data, reported, local),
            Wish::Batch {
                publications,
                topic,
                messages,
            } => self.publish_batch_now(cx, publications, &topic, messages),
            Wish::Feedback(peer, topic, feedback) => {
                let now = self.now;
                if let Some(scores) = &mut self.scores {
                    match feedback {
                        Feedback::Useful => scores.useful(now, peer, &topic),
                        Feedback::Invalid => scores.invalid(now, peer, &topic),
                    }
                }
            }
            Wish::Report(id, verdict) => {
                self.decide(cx, &id, verdict);
            }
            Wish::AddExplicit(peer) => self.add_explicit_now(cx, peer),
            Wish::RemoveExplicit(peer) => {
                self.explicit.remove(&peer);
                self.shifted.insert(peer);
            }
            Wish::Block(peer) => self.block_now(cx, peer),
            Wish::SetAppScore(peer, score) => {
                let now = self.now;
                if let Some(scores) = &mut self.scores {
                    scores.set_app(now, peer, score);
                }
            }
            Wish::Penalize(peer, amount) => self.penalize_now(peer, amount),
            Wish::SetTopicScore(topic, params) => {
                if let Some(scores) = &mut self.scores {
                    scores.set_topic(topic, params);
                }
            }
            Wish::SendPartial {
                peer,
                topic,
                group,
                parts,
                metadata,
            } => self.send_partial_now(cx, peer, &topic, &group, parts, metadata),
        }
    }

    /// Begins to count time, with the first thing that happens.
    fn start(&mut self) {
        if self.heartbeat_at.is_none() {
            self.heartbeat_at = Some(self.now + self.config.first_heartbeat);
            if let Some(scores) = &self.scores {
                self.decay_at = Some(self.now + scores.config.decay_interval);
            }
        }
    }

    /// What is due: verdicts that did not come, decay, then the heartbeat, then streams to be opened again.
    fn run_timers(&mut self, cx: &mut Context<'_>) {
        self.expire_pending(cx);
        if self.decay_at.is_some_and(|at| at <= self.now) {
            let now = self.now;
            if let Some(scores) = &mut self.scores {
                scores.decay(now);
                let interval = scores.config.decay_interval;
                self.decay_at = self.decay_at.map(|at| next_after(at, interval, now));
            }
        }
        if let Some(at) = self.heartbeat_at.filter(|at| *at <= self.now) {
            self.heartbeat(cx);
            self.heartbeat_at = Some(next_after(at, self.config.heartbeat, self.now));
        }
        while let Some(peer) = self.retries.pop_due(self.now) {
            self.open_stream(cx, peer);
        }
    }
}

/// The next time of a series: those that were missed are not made up for.
fn next_after(at: Instant, interval: core::time::Duration, now: Instant) -> Instant {
    let next = at + interval;
    if next > now { next } else { now + interval }
}

impl Protocol for Gossipsub {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        self.now = self.now.max(cx.now);
        if !matches!(input, Input::Timeout) || !self.wishes.is_empty() || !self.explicit.is_empty() {
            self.start();
        }
        match input {
            Input::Connected {
                peer,
                conn,
                first,
                info,
            } => self.handle_connected(cx, peer, conn, first, &info),
            Input::Disconnected { peer, conn, last } => self.handle_disconnected(cx, peer, conn, last),
            Input::Opened {
                stream,
                peer,
                spec,
                name,
            } => self.handle_opened(cx, stream, peer, spec, &name),
            Input::Frame { stream, data } => self.handle_frame(cx, stream, &data),
            Input::Writable { stream } => {
                self.dirty.extend(self.streams.get(&stream).copied());
            }
            Input::Flushed { stream, .. } => self.handle_flushed(cx, stream),
            Input::Finished { stream } => self.handle_finished(cx, stream),
            Input::Closed { stream, reason } => self.handle_closed(cx, stream, reason),
            Input::DialFailed { peer: Some(peer), .. } => {
                self.px_dials.remove(&peer);
            }
            Input::Fact(Fact::PeerProtocols { peer, protocols }) => {
                self.handle_protocols(cx, peer, &protocols);
            }
            _ => {}
        }
        for wish in core::mem::take(&mut self.wishes) {
            self.carry_out(cx, wish);
        }
        self.run_timers(cx);
        self.settle_keeps(cx);
        self.flush(cx);
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        if !self.wishes.is_empty() {
            return Some(Deadline::now("command"));
        }
        if self.heartbeat_at.is_none() {
            return (!self.explicit.is_empty()).then(|| Deadline::now("start"));
        }
        let due = [
            self.heartbeat_at.map(|at| Deadline::new(at, "heartbeat")),
            self.decay_at.map(|at| Deadline::new(at, "decay")),
            self.retries.next().map(|(at, _)| Deadline::new(at, "open")),
            self.pending_order
                .front()
                .map(|(at, _)| Deadline::new(*at, "verdict")),
        ];
        due.into_iter().flatten().min()
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        Some(&mut self.journal)
    }

    fn repeat(&mut self, command: &str) -> Result<(), BadCommand> {
        self.apply(Journal::read(command)?);
        Ok(())
    }
}
