//! The laws of machines that take bytes.

use core::{fmt, time::Duration};
use libp2p_proto_core::{Deadline, Instant, Rng, TransmitBuf};

/// Output that a machine may make in one step before the suite calls it endless.
const ENDLESS: usize = 1 << 26;
/// Random cuts that are tried for each script.
const CUTS: u64 = 32;
/// Time-outs in a row that a machine may ask for without any of them coming later than the one before.
const RESTLESS: usize = 64;

/// What a machine told the layer above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Anything that has no bytes that could come in other pieces.
    Word(String),
    /// Bytes of a stream; adjacent pieces of one stream are put together before they are compared.
    Bytes(u64, Vec<u8>),
}

/// A machine as the laws see it. Only what the machine has needs to be implemented.
pub trait Machine {
    /// Takes what it can of `input`; an error as text.
    ///
    /// # Errors
    ///
    /// Those of the machine.
    fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Result<usize, String>;
    /// Appends one unit of output.
    fn poll_transmit(&mut self, now: Instant, out: &mut TransmitBuf<'_>) -> bool;
    /// The next thing that it tells.
    fn poll_event(&mut self) -> Option<Said> {
        None
    }
    /// The deadline has come.
    fn handle_timeout(&mut self, _now: Instant) {}
    /// When it wants to be called.
    fn poll_timeout(&self) -> Option<Deadline> {
        None
    }
}

enum Step<M> {
    Input(Vec<u8>),
    Wait(Duration),
    Act(fn(&mut M, Instant)),
}

/// What happens to a machine.
pub struct Script<M>(Vec<Step<M>>);

impl<M> Default for Script<M> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<M> fmt::Debug for Script<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script of {} steps", self.0.len())
    }
}

impl<M> Script<M> {
    /// Nothing happens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Then these bytes come, in any pieces; output is drained once they are all taken.
    #[must_use]
    pub fn input(mut self, bytes: &[u8]) -> Self {
        self.0.push(Step::Input(bytes.to_vec()));
        self
    }

    /// Then time passes; time-outs that fall due on the way are handled at their time.
    #[must_use]
    pub fn wait(mut self, time: Duration) -> Self {
        self.0.push(Step::Wait(time));
        self
    }

    /// Then a command is given.
    #[must_use]
    pub fn act(mut self, act: fn(&mut M, Instant)) -> Self {
        self.0.push(Step::Act(act));
        self
    }
}

/// How a script is played.
struct Style<'a> {
    start: Instant,
    /// The length of the next piece of so many bytes.
    cut: &'a mut dyn FnMut(usize) -> usize,
    /// Whether time-outs are handled before every piece, due or not.
    nervous: bool,
    /// Whether the clock that the machine sees jumps back now and then.
    rewinding: bool,
    /// The limit of each lent output buffer.
    limit: usize,
}

/// Everything that a machine did. The time is counted from the start, so that traces of different clocks compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trace {
    steps: Vec<StepTrace>,
    error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct StepTrace {
    output: Vec<u8>,
    said: Vec<Said>,
    untaken: usize,
    deadline: Option<Duration>,
}

/// The laws for the machines that `make` builds at a given time. `make` must be a function of that time alone: the same seed each time.
pub struct Laws<M> {
    make: Box<dyn Fn(Instant) -> M>,
}

impl<M> fmt::Debug for Laws<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Laws")
    }
}

impl<M: Machine> Laws<M> {
    /// The laws for the machines that `make` builds.
    pub fn of(make: impl Fn(Instant) -> M + 'static) -> Self {
        Self { make: Box::new(make) }
    }

    /// Every law, over a script without errors or with one. Answers the hash of the trace, which may be held against a constant: it is the same on every platform.
    ///
    /// # Panics
    ///
    /// If a law does not hold.
    pub fn hold(&self, script: &Script<M>) -> u64 {
        let whole = self.play(script, &mut Style::plain(&mut |all| all));
        assert_eq!(
            whole,
            self.play(script, &mut Style::plain(&mut |all| all)),
            "law 9: same inputs, same outputs"
        );
        self.any_split_gives_the_same_output(script, &whole);
        self.time_outs_are_harmless_when_early(script, &whole);
        self.time_never_runs_back(script, &whole);
        self.any_clock_will_do(script, &whole);
        self.no_output_exceeds_its_buffer(script);
        self.no_wake_up_is_endless(script);
        crate::told::<M>(whole.hash())
    }

    fn any_split_gives_the_same_output(&self, script: &Script<M>, whole: &Trace) {
        let bytes = self.play(script, &mut Style::plain(&mut |_| 1));
        assert_eq!(*whole, bytes, "law 6: byte at a time equals all at once");
        for seed in 0..CUTS {
            let mut dice = Rng::from_seed([7; 32]).fork("cuts", seed);
            let longest = 1 << (seed % 12);
            let mut cut = |_| usize::try_from(dice.below(longest)).unwrap_or(0) + 1;
            let pieces = self.play(script, &mut Style::plain(&mut cut));
            assert_eq!(
                *whole, pieces,
                "law 6: any split gives the same output (seed {seed})"
            );
        }
    }

    fn time_outs_are_harmless_when_early(&self, script: &Script<M>, whole: &Trace) {
        let mut cut = |_| 3;
        let mut style = Style::plain(&mut cut);
        style.nervous = true;
        let trace = self.play(script, &mut style);
        assert_eq!(*whole, trace, "an early time-out is harmless");
    }

    fn time_never_runs_back(&self, script: &Script<M>, whole: &Trace) {
        let mut cut = |_| 5;
        let mut style = Style::plain(&mut cut);
        style.rewinding = true;
        let trace = self.play(script, &mut style);
        assert_eq!(*whole, trace, "law 4: an older `now` counts as the last one");
    }

    fn any_clock_will_do(&self, script: &Script<M>, whole: &Trace) {
        let late = Instant::from_nanos(u64::MAX - 3_600_000_000_000);
        for start in [Instant::ZERO, late] {
            let mut cut = |all| all;
            let mut style = Style::plain(&mut cut);
            style.start = start;
            let mut trace = self.play(script, &mut style);
            let mut expected = whole.clone();
            // Near the end of time deadlines saturate.
            for step in trace.steps.iter_mut().chain(&mut expected.steps) {
                step.deadline = step
                    .deadline
                    .map(|at| at.min(Instant::MAX.since(start)))
                    .filter(|_| start == Instant::ZERO);
            }
            assert_eq!(expected, trace, "law 4: a clock that starts at {start:?}");
        }
    }

    fn no_output_exceeds_its_buffer(&self, script: &Script<M>) {
        for limit in [0, 1, 2, 3, 7, 12, 17, 18, 19, 20, 64, 255, 1024, 4096] {
            let mut cut = |all| all;
            let mut style = Style::plain(&mut cut);
            style.limit = limit;
            // The run itself asserts the ceiling of every buffer.
            self.play(script, &mut style);
        }
    }

    /// After the script, time-outs are handled as they come: there are only so many before time moves on.
    fn no_wake_up_is_endless(&self, script: &Script<M>) {
        let mut cut = |all| all;
        let mut style = Style::plain(&mut cut);
        let (mut machine, mut now, _) = self.run(script, &mut style);
        let mut restless = 0;
        for _ in 0..1024 {
            let Some(deadline) = machine.poll_timeout() else {
                return;
            };
            restless = if deadline.at <= now { restless + 1 } else { 0 };
            assert!(
                restless < RESTLESS,
                "law 6: `{}` stays due: a busy loop",
                deadline.why
            );
            now = now.max(deadline.at);
            machine.handle_timeout(now);
            drain(&mut machine, now, usize::MAX, &mut StepTrace::default());
        }
    }

    /// After the error that ends `script`, the machine sends at most `last_words` bytes and then nothing, tells nothing new, and takes no more input.
    ///
    /// # Panics
    ///
    /// If the script ends without an error, or the law does not hold.
    pub fn are_kept_after_an_error(&self, script: &Script<M>, last_words: usize) {
        let mut cut = |all| all;
        let (mut machine, now, trace) = self.run(script, &mut Style::plain(&mut cut));
        let Some(error) = &trace.error else {
            panic!("the script does not end with an error: {trace:?}");
        };
        let last = trace.steps.last().map_or(0, |step| step.output.len());
        assert!(
            last <= last_words,
            "{last} bytes after an error, where {last_words} are allowed"
        );
        for round in 0..4_u8 {
            let later = now + Duration::from_secs(u64::from(round));
            let again = machine.handle_input(later, &mut [round; 32]);
            assert!(
                again.as_ref().is_err_and(|again| again == error),
                "after {error} input gives the same error, not {again:?}"
            );
            machine.handle_timeout(later);
            let mut step = StepTrace::default();
            drain(&mut machine, later, usize::MAX, &mut step);
            assert!(
                step.output.is_empty() && step.said.is_empty(),
                "silence after an error, not {step:?}"
            );
        }
    }

    fn play(&self, script: &Script<M>, style: &mut Style<'_>) -> Trace {
        self.run(script, style).2
    }

    fn run(&self, script: &Script<M>, style: &mut Style<'_>) -> (M, Instant, Trace) {
        let mut machine = (self.make)(style.start);
        let mut now = style.start;
        let mut trace = Trace::default();
        let mut first = StepTrace::default();
        drain(&mut machine, now, style.limit, &mut first);
        trace.steps.push(first);
        let mut left = Vec::new();
        for step in &script.0 {
            let mut done = StepTrace::default();
            match step {
                Step::Input(bytes) => {
                    left.extend_from_slice(bytes);
                    trace.error = feed(&mut machine, now, style, &mut left, &mut done);
                }
                Step::Wait(time) => {
                    let until = now + *time;
                    while let Some(deadline) = machine.poll_timeout().filter(|deadline| deadline.at <= until)
                    {
                        let due = deadline.at.max(now);
                        let restless = due == now;
                        now = due;
                        machine.handle_timeout(now);
                        drain(&mut machine, now, style.limit, &mut done);
                        let still = machine.poll_timeout().is_some_and(|next| next.at <= now);
                        assert!(!(restless && still), "`{}` stays due", deadline.why);
                    }
                    now = until;
                }
                Step::Act(act) => act(&mut machine, now),
            }
            drain(&mut machine, now, style.limit, &mut done);
            // What was refused before may be taken now.
            if trace.error.is_none() && !left.is_empty() {
                trace.error = feed(&mut machine, now, style, &mut left, &mut done);
                drain(&mut machine, now, style.limit, &mut done);
            }
            // After an error nothing is taken any more, so what is left of the input means nothing.
            done.untaken = if trace.error.is_none() { left.len() } else { 0 };
            done.deadline = machine
                .poll_timeout()
                .map(|deadline| deadline.at.since(style.start));
            trace.steps.push(done);
            if trace.error.is_some() {
                break;
            }
        }
        (machine, now, trace)
    }
}

impl<'a> Style<'a> {
    fn plain(cut: &'a mut dyn FnMut(usize) -> usize) -> Self {
        Self {
            start: Instant::from_millis(1000),
            cut,
            nervous: false,
            rewinding: false,
            limit: usize::MAX,
        }
    }
}

/// Hands in `left` piece by piece; what was not taken is handed in again with what comes behind it.
fn feed<M: Machine>(
    machine: &mut M,
    now: Instant,
    style: &mut Style<'_>,
    left: &mut Vec<u8>,
    done: &mut StepTrace,
) -> Option<String> {
    let mut end = 0;
    let mut turn = 0_u32;
    while end < left.len() {
        end = left.len().min(end + (style.cut)(left.len() - end).max(1));
        if style.nervous {
            machine.handle_timeout(now);
        }
        turn += 1;
        let seen = if style.rewinding && turn % 3 == 2 {
            Instant::ZERO
        } else {
            now
        };
        loop {
            let window = left.get_mut(..end).unwrap_or_default();
            if window.is_empty() {
                break;
            }
            match machine.handle_input(seen, window) {
                Ok(0) => break,
                Ok(taken) => {
                    assert!(taken <= end, "took {taken} of {end} bytes");
                    left.drain(..taken);
                    end -= taken;
                }
                Err(error) => return Some(error),
            }
        }
        said(machine, done);
    }
    None
}

fn drain<M: Machine>(machine: &mut M, now: Instant, limit: usize, done: &mut StepTrace) {
    said(machine, done);
    let mut buffer = Vec::new();
    loop {
        let before = buffer.len();
        let more = machine.poll_transmit(now, &mut TransmitBuf::new(&mut buffer, limit));
        let written = buffer.len() - before;
        assert!(written <= limit, "wrote {written} bytes into a buffer of {limit}");
        assert!(buffer.len() < ENDLESS, "output without end");
        if !more {
            break;
        }
    }
    done.output.append(&mut buffer);
    said(machine, done);
}

fn said<M: Machine>(machine: &mut M, done: &mut StepTrace) {
    while let Some(said) = machine.poll_event() {
        match (done.said.last_mut(), said) {
            (Some(Said::Bytes(on, bytes)), Said::Bytes(next, more)) if *on == next => {
                bytes.extend_from_slice(&more);
            }
            (_, said) => done.said.push(said),
        }
    }
}

impl Trace {
    /// FNV-1a over everything, so that a trace can be held against a constant.
    fn hash(&self) -> u64 {
        let text = format!("{self:?}");
        text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}
