//! A node on the hand-written mio loop, in a thread of its own, behind the same handle as on the other runtimes. Raw streams of the handle are not there: the
//! machine `streams`, mounted among the protocols, does their work on a loop without tasks.

use crate::error::Error;
use core::{
    task::{Context, Poll},
    time::Duration,
};
use futures_channel::oneshot;
use libp2p_proto_core::Instant;
use libp2p_proto_driver::{self as driver, App, Desk, Handle, Request, Resolver};
use libp2p_proto_identity::Identity;
use libp2p_proto_mio::{self as mio, Node};
use libp2p_proto_streams as streams;
use libp2p_proto_swarm::{Record, ResolveId};
use std::{
    sync::mpsc::{Receiver, Sender, channel},
    task::Waker,
    thread,
};

/// How long an orderly end may take.
const CLOSING: Duration = Duration::from_secs(1);

type Answer = (ResolveId, Result<Vec<Record>, &'static str>);

/// Starts a node.
pub(super) fn spawn<A: App + Send>(
    identity: Identity,
    config: driver::Config,
    mut app: A,
) -> Result<Handle<A>, Error> {
    let (desk, handle) = Desk::new(identity.peer_id());
    let limits = mio::Config {
        swarm: config.swarm,
        entropy: config.entropy,
        recorder: config.recorder,
        discovery: config.discovery,
    };
    let mut node = Node::new(identity, limits, &mut app.protocols()).map_err(failed)?;
    let waker = node.waker().map_err(failed)?;
    let mut turning = Loop {
        node,
        app,
        desk,
        waker,
        resolver: config.resolver,
        answers: channel(),
        end: None,
    };
    thread::spawn(move || {
        // A poll that fails ends the node; its handles are told that it is closed.
        let _ended = turning.run();
    });
    Ok(handle)
}

fn failed(error: mio::Error) -> Error {
    Error::Failed(error.to_string())
}

struct Loop<A> {
    node: Node,
    app: A,
    desk: Desk<A>,
    waker: Waker,
    resolver: Option<Resolver>,
    answers: (Sender<Answer>, Receiver<Answer>),
    /// When to end although connections stand, and whom to tell.
    end: Option<(Instant, Option<oneshot::Sender<()>>)>,
}

impl<A: App> Loop<A> {
    fn run(&mut self) -> Result<(), mio::Error> {
        loop {
            // Whoever asked is answered after this turn, so it does not sleep.
            let wait = self.take_requests().then_some(Duration::ZERO);
            let wait = wait.or_else(|| self.end.is_some().then_some(CLOSING));
            self.node.turn(&mut self.app.protocols(), wait)?;
            while let Some(event) = self.node.poll_event() {
                self.desk.tell(&event);
                self.app.handle_event(event);
            }
            while let Some(event) = self.node.poll_discovery() {
                self.app.handle_discovery(event);
            }
            self.app.after_drive();
            self.desk.after_drive(&mut self.app);
            self.resolve();
            let now = self.node.now();
            let idle = self.node.swarm().is_idle();
            if let Some((_, done)) = self.end.take_if(|(at, _)| idle || *at <= now) {
                if let Some(done) = done {
                    let _nobody_waits = done.send(());
                }
                return Ok(());
            }
        }
    }

    /// Says whether there were any.
    fn take_requests(&mut self) -> bool {
        let mut any = false;
        let waker = self.waker.clone();
        let mut cx = Context::from_waker(&waker);
        while self.end.is_none() {
            let now = self.node.now();
            let asked = self.desk.poll(&mut cx, now, self.node.swarm(), &mut self.app);
            let Poll::Ready(request) = asked else { break };
            any = true;
            match request {
                Some(Request::Listen(addr, answer)) => {
                    let _nobody_waits = answer.send(self.node.listen(&addr).map_err(Into::into));
                }
                Some(Request::Open { opener, .. }) => {
                    let _nobody_waits = opener.send(Err(streams::Error::UnknownName.into()));
                }
                Some(Request::Close(done)) => {
                    self.node.stop_discovery();
                    self.node.swarm().close(now);
                    self.end = Some((now + CLOSING, done));
                }
                // Whoever waits for a raw stream is told that none will come.
                _ => {}
            }
        }
        any
    }

    /// Asks for names, and tells what is known by now.
    fn resolve(&mut self) {
        while let Some((query, name, kind)) = self.node.poll_resolve() {
            let (answers, waker) = (self.answers.0.clone(), self.waker.clone());
            let answer = move |answer| {
                let _ended = answers.send((query, answer));
                waker.wake();
            };
            match &self.resolver {
                Some(resolver) => resolver(name, kind, Box::new(answer)),
                None => answer(Err("no-resolver")),
            }
        }
        while let Ok((query, answer)) = self.answers.1.try_recv() {
            let now = self.node.now();
            self.node.swarm().handle_resolved(now, query, answer);
        }
    }
}
