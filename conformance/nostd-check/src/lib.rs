//! Every machine of the family in a library without the standard library, with a panic handler and an allocator of its own.
#![no_std]

use libp2p_proto_autonat as _;
use libp2p_proto_connection as _;
use libp2p_proto_core::{Instant, UnixTime};
use libp2p_proto_echo as _;
use libp2p_proto_fetch as _;
use libp2p_proto_gossipsub as _;
use libp2p_proto_identify::Identify;
use libp2p_proto_identity::{Identity, Keypair};
use libp2p_proto_kad as _;
use libp2p_proto_mdns as _;
use libp2p_proto_multistream_select as _;
use libp2p_proto_noise as _;
use libp2p_proto_perf as _;
use libp2p_proto_ping::Ping;
use libp2p_proto_dcutr as _;
use libp2p_proto_rendezvous as _;
use libp2p_proto_request_response as _;
use libp2p_proto_streams as _;
use libp2p_proto_streams_core as _;
use libp2p_proto_swarm::{Config, Swarm};
use libp2p_proto_websocket as _;
use libp2p_proto_yamux as _;

#[global_allocator]
static HEAP: embedded_alloc::LlffHeap = embedded_alloc::LlffHeap::empty();

struct SingleCore;
critical_section::set_impl!(SingleCore);

#[allow(unsafe_code, reason = "a freestanding program must say how it keeps interrupts out; this one has none")]
unsafe impl critical_section::Impl for SingleCore {
    unsafe fn acquire() -> critical_section::RawRestoreState {}
    unsafe fn release(_: critical_section::RawRestoreState) {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Builds a node, so that the linker has something to keep.
#[unsafe(no_mangle)]
pub extern "C" fn nostd_check() -> usize {
    let identity = Identity::from(Keypair::ed25519_from_seed([1; 32]));
    let (Ok(mut ping), Ok(mut identify)) = (Ping::new(Default::default()), Identify::new(identity.clone(), Default::default())) else {
        return 0;
    };
    let Ok(mut swarm) = Swarm::new(identity, Config::default(), [2; 32], &mut [&mut ping, &mut identify]) else { return 0 };
    swarm.drive(Instant::ZERO, UnixTime::from_secs(0), &mut [&mut ping, &mut identify], 16);
    swarm.stats().established
}
