//! The laws of protocols: machines that take inputs and act through a context.
//!
//! ```
//! use libp2p_proto_core::ProtocolName;
//! use libp2p_proto_laws::protocol::{Laws, Subject};
//! use libp2p_proto_stream_protocol::{Context, Framing, Input, Protocol, StreamSpec};
//!
//! struct Discard([StreamSpec; 1]);
//! impl Protocol for Discard {
//!     fn specs(&self) -> &[StreamSpec] {
//!         &self.0
//!     }
//!     fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
//!         if let Input::Finished { stream } = input {
//!             cx.finish(stream);
//!         }
//!     }
//! }
//! impl Subject for Discard {}
//!
//! const NAME: ProtocolName = ProtocolName::from_static("/discard/1");
//! Laws::of(|| Discard([StreamSpec::new(NAME, Framing::Raw)])).frame(b"hello").hold();
//! ```

mod chaos;

use chaos::Chaos;
use core::{fmt, time::Duration};
use libp2p_proto_core::{Instant, Rng};
use libp2p_proto_stream_protocol::{Context, Fact, Input, Noted, Protocol};
use std::collections::VecDeque;

/// Random lives that are led for each subject.
const LIVES: u64 = 48;
/// Inputs of one life.
const INPUTS: usize = 400;
/// Calls to the host that one input may cause.
const CALLS: usize = 4096;
/// Time-outs in a row that a protocol may ask for without any of them coming later than the one before.
const RESTLESS: usize = 64;

/// A protocol as the laws see it.
pub trait Subject: Protocol {
    /// The next event for the application, as text.
    fn poll_event(&mut self) -> Option<String> {
        None
    }
    /// What is learned just before the application does something, with the dice of that.
    fn facts(&mut self, _dice: &mut Rng) -> Vec<Fact> {
        Vec::new()
    }
    /// What is delivered in the place of `input`; for [`wraps!`](crate::wraps).
    fn hears(&mut self, input: Input) -> Input {
        input
    }
    /// The application does something: `dice` chooses what. A protocol that has a journal must have it all there afterwards.
    fn command(&mut self, _cx: &mut Context<'_>, _dice: &mut Rng) {}
}

/// The laws for the protocols that `make` builds, always in the same way.
pub struct Laws<P> {
    make: Box<dyn Fn() -> P>,
    frames: Vec<Vec<u8>>,
}

impl<P> fmt::Debug for Laws<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Laws({} frames)", self.frames.len())
    }
}

/// What an application asked, each time that it had its say.
type Script = VecDeque<Vec<Noted>>;

/// Who is the application of a life.
enum Application<'a> {
    /// The subject.
    Own,
    /// The subject, whose commands are written down.
    Noted(&'a mut Script),
    /// Whoever repeats what was written down.
    Again(&'a mut Script),
}

/// How a life is led.
#[derive(Clone, Copy)]
struct Style {
    start: Instant,
    /// Whether time-outs are delivered before each input, due or not.
    nervous: bool,
}

impl<P: Subject> Laws<P> {
    /// The laws for the protocols that `make` builds.
    pub fn of(make: impl Fn() -> P + 'static) -> Self {
        Self {
            make: Box::new(make),
            frames: vec![Vec::new()],
        }
    }

    /// A frame that peers may send: whole, cut, changed, or as it is.
    #[must_use]
    pub fn frame(mut self, frame: &[u8]) -> Self {
        self.frames.push(frame.to_vec());
        self
    }

    /// Every law, over random lives in which connections come and go, streams open and end, frames are honest or not, ids are stale or never were, and the
    /// host blocks and refuses. Answers the hash of all logs, the same on every platform.
    ///
    /// # Panics
    ///
    /// If a law does not hold.
    pub fn hold(&self) -> u64 {
        let calm = Style {
            start: Instant::from_millis(1000),
            nervous: false,
        };
        let late = Style {
            start: Instant::from_nanos(u64::MAX - 3_600_000_000_000),
            ..calm
        };
        let nervous = Style {
            nervous: true,
            ..calm
        };
        let mut hash = 0xcbf2_9ce4_8422_2325;
        for seed in 0..LIVES {
            let life = self.live(seed, calm);
            assert_eq!(
                life,
                self.live(seed, calm),
                "law 9: same inputs, same outputs (seed {seed})"
            );
            assert_eq!(
                life,
                self.live(seed, nervous),
                "an early time-out is harmless (seed {seed})"
            );
            assert_eq!(
                life,
                self.live(seed, late),
                "law 4: a clock near its end (seed {seed})"
            );
            self.repeat(seed, calm);
            hash = life
                .iter()
                .flat_map(|line| line.bytes())
                .fold(hash, |hash, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                });
        }
        crate::told::<P>(hash)
    }

    /// Law 9, commands included: what a journal has is all that an application does.
    fn repeat(&self, seed: u64, style: Style) {
        if (self.make)().journal().is_none() {
            return;
        }
        let mut script = Script::new();
        let first = self.live_with(seed, style, &mut Application::Noted(&mut script));
        let again = self.live_with(seed, style, &mut Application::Again(&mut script));
        assert_eq!(
            first, again,
            "law 9: a repeated journal gives the same outputs (seed {seed})"
        );
    }

    /// One life; the log of all that the protocol did.
    fn live(&self, seed: u64, style: Style) -> Vec<String> {
        self.live_with(seed, style, &mut Application::Own)
    }

    fn live_with(&self, seed: u64, style: Style, application: &mut Application<'_>) -> Vec<String> {
        let mut protocol = (self.make)();
        if let (Application::Noted(_) | Application::Again(_), Some(journal)) =
            (&application, protocol.journal())
        {
            journal.start();
        }
        let mut chaos = Chaos::new(seed, style.start, protocol.specs(), &self.frames);
        for _ in 0..INPUTS {
            if style.nervous {
                chaos.early_timeout(&mut protocol);
            }
            match chaos.next_input() {
                Some(input) => chaos.deliver(&mut protocol, input),
                None => application.command(&mut protocol, &mut chaos),
            }
            application.drain(&mut protocol, &mut chaos);
            let wait = chaos.wait();
            pass(&mut protocol, &mut chaos, application, wait);
        }
        pass(&mut protocol, &mut chaos, application, Duration::from_secs(600));
        chaos.log
    }
}

impl Application<'_> {
    fn command<P: Subject>(&mut self, protocol: &mut P, chaos: &mut Chaos) {
        for fact in protocol.facts(&mut chaos.dice()) {
            chaos.deliver(protocol, Input::Fact(fact));
        }
        match self {
            Self::Own => chaos.command(|cx, dice| protocol.command(cx, dice)),
            Self::Noted(script) => {
                chaos.command(|cx, dice| protocol.command(cx, dice));
                script.push_back(noted(protocol, chaos));
            }
            Self::Again(script) => {
                chaos.command(|_, _| {});
                repeat(protocol, chaos, script.pop_front());
            }
        }
    }

    /// Reads every event.
    fn drain<P: Subject>(&mut self, protocol: &mut P, chaos: &mut Chaos) {
        match self {
            Self::Own => {
                while let Some(event) = protocol.poll_event() {
                    chaos.log.push(event);
                }
            }
            Self::Noted(script) => {
                while protocol.poll_event().is_some() {}
                script.push_back(noted(protocol, chaos));
            }
            Self::Again(script) => repeat(protocol, chaos, script.pop_front()),
        }
    }
}

/// What the application has just asked; the log says what it was given.
fn noted<P: Subject>(protocol: &mut P, chaos: &mut Chaos) -> Vec<Noted> {
    let Some(journal) = protocol.journal() else {
        return Vec::new();
    };
    let noted: Vec<Noted> = std::iter::from_fn(|| journal.pop()).collect();
    assert!(!journal.take_lost(), "law 5: more commands than a journal holds");
    chaos
        .log
        .extend(noted.iter().filter_map(|noted| noted.gave.clone()));
    noted
}

fn repeat<P: Subject>(protocol: &mut P, chaos: &mut Chaos, script: Option<Vec<Noted>>) {
    let script = script.unwrap_or_default();
    for noted in &script {
        assert_eq!(protocol.repeat(&noted.command), Ok(()), "{}", noted.command);
    }
    assert_eq!(
        noted(protocol, chaos),
        script,
        "law 9: a repeated command gives what it gave, and is noted as it was"
    );
}

/// Lets time pass, with every time-out at its time.
fn pass<P: Subject>(protocol: &mut P, chaos: &mut Chaos, application: &mut Application<'_>, time: Duration) {
    let until = chaos.now + time;
    let mut restless = 0;
    for _ in 0..CALLS {
        let Some(deadline) = protocol.poll_timeout().filter(|deadline| deadline.at <= until) else {
            break;
        };
        restless = if deadline.at <= chaos.now { restless + 1 } else { 0 };
        assert!(
            restless < RESTLESS,
            "law 6: `{}` stays due: a busy loop",
            deadline.why
        );
        chaos.now = chaos.now.max(deadline.at);
        chaos.timeout(protocol);
        application.drain(protocol, chaos);
    }
    chaos.now = chaos.now.max(until);
}
