//! What the program does: it waits until someone dials it over its line, asks who that is, pings it, serves it until it leaves, and ends.
//!
//! Its argument comes over the debugger's interface, and its report goes there: 64 hexadecimal digits of entropy. On a board of its own, entropy comes from the chip's generator
//! of random numbers (RNG), and the seed of its identity is kept in flash.

use crate::{
    clock::Clock,
    node::{Event, Node},
    serial::Serial,
};
use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::time::Duration;
use libp2p_proto::{
    identify,
    ping::{self, RunId},
    swarm,
};
use rtic::Mutex;
use semihosting::{experimental::env, println, process};
use stm32f4::stm32f405::USART1;

/// Rounds of ping.
const ROUNDS: u32 = 5;
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long the line must be silent before the core sleeps: at 115 200 baud a byte takes 87 µs.
const SILENCE: Duration = Duration::from_millis(1);

pub(crate) fn main<M: Mutex<T = USART1>>(clock: &mut Clock, serial: Serial<M>) -> ! {
    let result = run(clock, serial);
    if let Err(error) = &result {
        println!("failed: {error}");
    }
    process::exit(result.is_err().into())
}

fn run<M: Mutex<T = USART1>>(clock: &mut Clock, mut serial: Serial<M>) -> Result<(), String> {
    let mut node = Node::new(entropy()?).map_err(|error| error.to_string())?;
    println!("{} waits on its serial line", node.swarm().local_peer_id());
    let mut output = Vec::new();
    let start = clock.now();
    let mut heard = start;
    let mut run = None;
    loop {
        let now = clock.now();
        if now.since(start) >= LIMIT {
            return Err(String::from("the time limit was reached"));
        }
        if serial.read(node.input()) {
            heard = now;
        }
        node.turn(now, &mut output);
        let sent = output.iter().take_while(|byte| serial.write(**byte)).count();
        output.drain(..sent);
        while let Some(event) = node.poll_event() {
            if handle(&mut node, &mut run, event)? {
                return Ok(());
            }
        }
        if sent == 0 && now.since(heard) >= SILENCE {
            // The next byte or the next millisecond wakes it.
            cortex_m::asm::wfi();
        }
    }
}

/// Reacts to an event. Says whether the program is done. `run`: the pings under way.
fn handle(node: &mut Node, run: &mut Option<RunId>, event: Event) -> Result<bool, String> {
    match event {
        Event::Swarm(swarm::Event::Connected {
            peer,
            security,
            muxer,
            ..
        }) => {
            println!("connected to {peer} with {security} and {muxer}");
            *run = Some(node.ping.ping(peer, ROUNDS).map_err(|error| error.to_string())?);
        }
        Event::Identify(identify::Event::Identified { info, .. }) => {
            println!("it is {}", info.agent_version);
        }
        Event::Ping(ping::Event::Pong { rtt, left, .. }) => {
            println!("ping {}: {rtt:?}", ROUNDS.saturating_sub(left));
            if left == 0 {
                *run = None;
            }
        }
        Event::Ping(ping::Event::Failed { failure, .. }) => return Err(failure.to_string()),
        Event::Swarm(swarm::Event::IncomingFailed { error, .. }) => return Err(error.code.to_string()),
        Event::Swarm(swarm::Event::Disconnected { error, .. }) => {
            if let Some(error) = error {
                return Err(error.code.to_string());
            }
            return run.map_or(Ok(true), |_| Err(String::from("it left too early")));
        }
        _ => {}
    }
    Ok(false)
}

/// The argument.
fn entropy() -> Result<[u8; 32], String> {
    let args = env::args::<256>().map_err(|_| String::from("no arguments"))?;
    let digits = (&args).nth(1).and_then(Result::ok);
    Ok(digits
        .and_then(unhex)
        .ok_or("the argument is not 64 hexadecimal digits")?)
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(place..)?.get(..2)?, 16).ok()?;
    }
    Some(bytes)
}
