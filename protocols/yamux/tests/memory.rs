//! What sessions and frames cost in memory, by a counting allocator.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use allocation_counter::measure;
use bytes::Bytes;
use libp2p_proto_core::{Side, TransmitBuf};
use libp2p_proto_yamux::{Event, Yamux};
use support::{
    ACK, FIN, NOW, RST, SYN, WINDOW, after, data, events, feed, header, session, transmit, update,
};

fn assert_no_allocation(what: &str, act: impl FnOnce()) {
    let info = measure(act);
    assert_eq!(info.count_total, 0, "{what}: {info:?}");
}

/// A dialer with stream 1 open and acknowledged, and all the credit there is.
fn sender() -> Yamux {
    let mut yamux = session(Side::Dialer);
    yamux.open(usize::MAX).unwrap();
    transmit(&mut yamux, NOW);
    feed(&mut yamux, NOW, &update(ACK, 1, u32::MAX - 262_144)).unwrap();
    yamux
}

// covers: YMX-009, YMX-095
#[test]
fn vul_195_no_frame_of_any_size_is_allocated_for_when_received() {
    for size in [1, 100, 16_384] {
        let mut yamux = support::with_stream(0);
        let frame = data(0, 1, &vec![7; size]);
        let mut out = Vec::with_capacity(4096);
        let mut receive = |count: usize| {
            for _ in 0..count {
                let mut input = &frame[..];
                let mut got = 0;
                while let Some(event) = yamux.handle_input(NOW, &mut input).unwrap() {
                    let Event::Data { bytes, .. } = event else {
                        panic!("{event:?}")
                    };
                    got += bytes.len();
                }
                assert_eq!(got, size);
                yamux.grant(NOW, 1, size);
                out.clear();
                while yamux.poll_transmit(NOW, &mut TransmitBuf::new(&mut out, 4096)) {}
            }
        };
        receive(100);
        receive(2 * WINDOW / size + 1);
        assert_no_allocation("receiving", || receive(10_000));
    }
    // One byte a frame, and nobody reads: nothing is kept.
    let mut yamux = support::with_stream(0);
    let frame = data(0, 1, &[7]);
    assert_no_allocation("unread bytes", || {
        for _ in 0..WINDOW {
            let mut input = &frame[..];
            while yamux.handle_input(NOW, &mut input).unwrap().is_some() {}
        }
    });
    assert!(yamux.handle_input(NOW, &mut &frame[..]).is_err());
}

#[test]
fn a_frame_that_is_sent_is_copied_once_into_the_buffer_and_nothing_is_allocated() {
    let mut yamux = sender();
    let payload = Bytes::from(vec![7; 64 << 10]);
    let mut out = Vec::with_capacity(1 << 20);
    let mut send = |count: usize| {
        for _ in 0..count {
            yamux.write(1, &mut payload.clone()).unwrap();
            out.clear();
            // Two Noise messages.
            for _ in 0..2 {
                let mut plain = TransmitBuf::new(&mut out, 65_519);
                while yamux.poll_transmit(NOW, &mut plain) {}
            }
            assert_eq!(out.len(), (64 << 10) + 5 * 12);
            while yamux.poll_event().is_some() {}
        }
    };
    send(10);
    assert_no_allocation("sending", || send(1000));

    // Many chunks in the queue cost their places, once for all of them.
    let mut yamux = sender();
    yamux.write(1, &mut payload.clone()).unwrap();
    out.clear();
    while yamux.poll_transmit(NOW, &mut TransmitBuf::new(&mut out, 1 << 20)) {}
    while yamux.poll_event().is_some() {}
    let queued = measure(|| {
        for _ in 0..1000 {
            yamux.write(1, &mut payload.slice(..100)).unwrap();
        }
    });
    assert!(queued.count_total <= 12, "{queued:?}");
    out.clear();
    assert_no_allocation("sending a queue", || {
        while yamux.poll_transmit(NOW, &mut TransmitBuf::new(&mut out, 1 << 20)) {}
    });
    assert_eq!(out.len(), 100_000 + 7 * 12);
}

// covers: YMX-054, YMX-096
#[test]
fn five_hundred_streams_without_data_cost_less_than_256_bytes_each_and_give_all_of_it_back() {
    let mut yamux = session(Side::Listener);
    let mut wire = Vec::with_capacity(1 << 16);
    let opened = measure(|| {
        for number in 0..250 {
            let id = 2 * number + 1;
            feed(&mut yamux, NOW, &update(SYN, id, 0)).unwrap();
            yamux.accept(id, 64 << 10);
            yamux.open(64 << 10).unwrap();
        }
        while yamux.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1 << 16)) {}
    });
    let cost = opened.bytes_current;
    assert!(cost <= 500 * 256, "{cost}");
    println!("{} bytes for each stream", cost / 500);
    let ended = measure(|| {
        for id in 1..=500 {
            yamux.reset(id);
        }
        wire.clear();
        while yamux.poll_transmit(NOW, &mut TransmitBuf::new(&mut wire, 1 << 16)) {}
        // Once two pings were answered, nothing is left of the streams that were reset.
        let mut now = NOW;
        for value in [8, 9] {
            now = yamux.poll_timeout().unwrap().at.max(now);
            yamux.handle_timeout(now).unwrap();
            wire.clear();
            yamux.poll_transmit(now, &mut TransmitBuf::new(&mut wire, 1 << 16));
            feed(&mut yamux, now, &header(2, ACK, 0, value)).unwrap();
        }
    });
    let rest = cost + ended.bytes_current;
    assert!(rest <= 512, "{rest}");
    println!("{rest} bytes afterwards");
}

#[test]
fn a_session_that_was_busy_and_is_idle_holds_no_memory() {
    let mut idle = None;
    let info = measure(|| {
        let mut yamux = session(Side::Listener);
        let mut wire = Vec::new();
        for round in 0..20_u32 {
            for number in 0..100 {
                let id = 2 * (round * 100 + number) + 1;
                feed(&mut yamux, NOW, &data(SYN | FIN, id, &[1; 1000])).unwrap();
                yamux.accept(id, 1 << 20);
                for _ in 0..10 {
                    yamux.write(id, &mut Bytes::from_static(&[2; 500])).unwrap();
                }
                yamux.finish(id);
            }
            wire.extend(transmit(&mut yamux, NOW));
            events(&mut yamux);
        }
        assert_eq!(yamux.stream_count(), 0);
        idle = Some(yamux);
    });
    let cost = info.bytes_current;
    assert!(info.bytes_max > 10_000);
    assert!(idle.is_some());
    assert!(cost <= 512, "{cost}");
    println!("{cost} bytes");
}

// covers: YMX-072
#[test]
fn vul_033_memory_is_flat_far_past_every_limit() {
    let mut yamux = session(Side::Listener);
    let info = measure(|| {
        for number in 0..100_000_u32 {
            let now = after(u64::from(number) * 5);
            let id = 2 * number + 1;
            let ping = header(2, SYN, 0, 1);
            let ping = if number % 2 == 0 { &ping[..] } else { &[] };
            let wire = [&update(SYN, id, 0), ping, &update(RST, id, 0)].concat();
            let mut input = &wire[..];
            let mut out = Vec::new();
            loop {
                match yamux.handle_input(now, &mut input).unwrap() {
                    // Every other stream is reset by us while the remote resets it too.
                    Some(Event::Opened { stream }) if number % 2 == 0 => yamux.reset(stream),
                    Some(_) => {}
                    None => break,
                }
            }
            while yamux.poll_transmit(now, &mut TransmitBuf::new(&mut out, 64)) {}
            for ping in support::frames(&out)
                .iter()
                .filter(|f| f.kind == 2 && f.flags == SYN)
            {
                feed(&mut yamux, now, &header(2, ACK, 0, ping.length)).unwrap();
            }
            yamux.handle_timeout(now).unwrap();
        }
    });
    let peak = info.bytes_max;
    assert!(peak <= 32 << 10, "{peak}");
    println!("{peak} bytes at most");
}
