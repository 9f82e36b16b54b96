//! How faults take effect.

use crate::{
    app::App,
    fault::{Fault, FaultKind},
    host::Host,
    net::{Chunks, Passage, Places, Rule},
    pipe::{Body, Load, PipeId, other},
    sim::{Place, Sim},
};
use libp2p_proto_swarm::Swarm;

impl<A: App> Sim<A> {
    fn fault(&self, number: u32) -> Option<Fault> {
        self.faults.get(number as usize).cloned()
    }

    pub(crate) fn fault_begins(&mut self, number: u32) {
        let Some(fault) = self.fault(number) else { return };
        let now = self.fabric.now;
        self.fabric.stats.faults = self.fabric.stats.faults.saturating_add(1);
        self.fabric
            .trace
            .tell(now, u32::MAX, format_args!("fault {number}: {:?}", fault.kind));
        let mut rule = |from: &Places, to: &Places, passage| {
            self.fabric.net.rules.push(Rule {
                fault: number,
                from: from.clone(),
                to: to.clone(),
                passage,
            });
        };
        match &fault.kind {
            FaultKind::Cut { from, to } => rule(from, to, Passage::Held),
            FaultKind::BlackHole { from, to } => rule(from, to, Passage::Lost),
            FaultKind::Break { from, to } => self.break_links(from, to),
            FaultKind::BreakAt { .. } => self.breaks.push(fault),
            FaultKind::Crash { hosts } => self.each(hosts, |sim, place| sim.crash(place, false)),
            FaultKind::Kill { hosts } => self.each(hosts, |sim, place| sim.crash(place, true)),
            FaultKind::Close { hosts } => self.each(hosts, |sim, place| {
                sim.command(place, |app, swarm: &mut Swarm, now| {
                    app.close();
                    swarm.close(now);
                });
            }),
            FaultKind::Deaf { hosts } => self.each_host(hosts, |host, _| host.deaf = true),
            FaultKind::Step { hosts, seconds } => {
                self.each_host(hosts, |host, now| host.clock.step(now, *seconds));
            }
            FaultKind::Drift { hosts, ppm } => self.each_host(hosts, |host, now| host.clock.drift(now, *ppm)),
            FaultKind::Freeze { hosts } => self.each_host(hosts, |host, now| host.clock.freeze(now, true)),
            FaultKind::NatReboot { nat } => self.reboot_nat(*nat),
            FaultKind::Chunked { chunks } => self.fabric.net.link.chunks = *chunks,
        }
    }

    pub(crate) fn fault_ends(&mut self, number: u32) {
        let Some(fault) = self.fault(number) else { return };
        let now = self.fabric.now;
        self.fabric
            .trace
            .tell(now, u32::MAX, format_args!("fault {number} is over"));
        match &fault.kind {
            FaultKind::Cut { .. } | FaultKind::BlackHole { .. } => {
                self.fabric.net.rules.retain(|rule| rule.fault != number);
                self.fabric.release();
            }
            FaultKind::BreakAt { .. } => self.breaks.retain(|standing| *standing != fault),
            FaultKind::Crash { hosts } | FaultKind::Kill { hosts } => self.each(hosts, |sim, place| {
                let down = matches!(sim.places.get(place), Some(Place::Host(host)) if host.life.is_none());
                if down {
                    if let Err(error) = sim.boot(place) {
                        let place = u32::try_from(place).unwrap_or(u32::MAX);
                        sim.fabric.accuse("G1", place, error.to_string());
                    }
                }
            }),
            FaultKind::Deaf { hosts } => self.each_host(hosts, |host, _| host.deaf = false),
            FaultKind::Freeze { hosts } => self.each_host(hosts, |host, now| host.clock.freeze(now, false)),
            FaultKind::Drift { hosts, .. } => self.each_host(hosts, |host, now| host.clock.drift(now, 0)),
            FaultKind::Chunked { .. } => self.fabric.net.link.chunks = Chunks::Whole,
            _ => {}
        }
    }

    fn each(&mut self, hosts: &Places, mut act: impl FnMut(&mut Self, usize)) {
        for place in 0..self.scenario.hosts {
            if hosts.contains(place) {
                act(self, place);
            }
        }
    }

    /// Does something to hosts, and lets them go on.
    fn each_host(&mut self, hosts: &Places, mut act: impl FnMut(&mut Host<A>, libp2p_proto_core::Instant)) {
        self.each(hosts, |sim, place| {
            let now = sim.fabric.now;
            if let Some(Place::Host(host)) = sim.places.get_mut(place) {
                act(host, now);
                host.forget_wake();
            }
            sim.settle(place);
        });
    }

    fn pipes(&self, fits: impl Fn(usize, usize) -> bool) -> Vec<PipeId> {
        let pipes = (0..).zip(&self.fabric.pipes);
        let fits = |(id, slot): (PipeId, &Option<Box<crate::pipe::Pipe>>)| {
            let pipe = slot.as_deref()?;
            let [a, b] = [pipe.ends[0].place as usize, pipe.ends[1].place as usize];
            (fits(a, b) || fits(b, a)).then_some(id)
        };
        pipes.filter_map(fits).collect()
    }

    fn break_links(&mut self, from: &Places, to: &Places) {
        for id in self.pipes(|a, b| from.contains(a) && to.contains(b)) {
            self.fabric.break_pipe(id, "reset");
        }
    }

    /// A host is gone: by loss of power, or killed by its operating system, which says so to its peers.
    fn crash(&mut self, place: usize, says_so: bool) {
        let Some(Place::Host(host)) = self.places.get_mut(place) else {
            return;
        };
        if host.life.take().is_none() {
            return;
        }
        host.forget_wake();
        for id in self.pipes(|a, _| a == place) {
            for end in [0, 1] {
                let is_ours = self
                    .fabric
                    .pipe(id)
                    .and_then(|pipe| pipe.end(end))
                    .is_some_and(|end| end.place as usize == place);
                if !is_ours || matches!(self.fabric.body(id, end), Some(Body::Gone)) {
                    continue;
                }
                if says_so {
                    self.fabric.send(id, end, Load::Reset("reset"));
                    self.fabric.leave(id, end, Body::Gone);
                } else {
                    let direct = matches!(self.fabric.body(id, other(end)), Some(Body::Direct(_)));
                    self.fabric.leave(id, end, Body::Lost);
                    if direct {
                        self.fabric.fall_silent(id);
                    }
                }
            }
        }
    }

    fn reboot_nat(&mut self, nat: usize) {
        if let Some(nat) = self.fabric.net.nats.get_mut(nat) {
            nat.reboot();
        }
        let passes = |slot: &Option<Box<crate::pipe::Pipe>>| {
            let pipe = slot.as_deref();
            pipe.is_some_and(|pipe| pipe.trail.iter().any(|hop| hop.nat == nat))
        };
        let pipes = (0..).zip(&self.fabric.pipes);
        let through: Vec<PipeId> = pipes.filter(|(_, slot)| passes(slot)).map(|(id, _)| id).collect();
        for id in through {
            if let Some(pipe) = self.fabric.pipe(id) {
                for way in &mut pipe.ways {
                    way.dead = true;
                    way.queue.clear();
                }
            }
            self.fabric.fall_silent(id);
        }
    }
}
