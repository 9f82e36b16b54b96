//! AutoNAT between whole hosts, through NATs and among liars: what is believed, and what Kademlia makes of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod support;

use libp2p_proto_autonat::{
    Autonat, Config as AutonatConfig, DIAL_REQUEST, Serve, ServerConfig, V1,
    wire::{
        v1::{self, Status},
        v2::{self, DialBack, DialStatus, ResponseStatus},
    },
};
use libp2p_proto_core::ProtocolName;
use libp2p_proto_identify::{Config as IdentifyConfig, Identify};
use libp2p_proto_kad::{AnyValue, Config as KadConfig, Event as Found, Kad, Mode, Validators};
use libp2p_proto_simulator::{App, Birth, Error, Lent, NatKind, NatPlace, Scenario, Sim, Step};
use libp2p_proto_stream_protocol::{Context, Framing, Input, Protocol, Reachability, StreamSpec, Target};
use std::time::Duration;
use support::punch::RESTRICTED;

/// How a server lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// It says that it has reached whoever asks.
    AlwaysOk,
    /// It says that it could not.
    NeverOk,
    /// It refuses.
    Refuses,
    /// It speaks of an address that was not asked about.
    WrongIndex,
    /// It brings another nonce.
    WrongNonce,
    /// It asks for dial data, and then says nothing more.
    Stalls,
}

struct Liar {
    specs: [StreamSpec; 3],
    lie: Lie,
    nonces: Vec<libp2p_proto_core::StreamId>,
}

impl Liar {
    fn new(lie: Lie) -> Self {
        let spec = |name| StreamSpec::new(name, Framing::LengthDelimited { max: 8192 });
        Self {
            specs: [V1, DIAL_REQUEST, libp2p_proto_autonat::DIAL_BACK].map(spec),
            lie,
            nonces: Vec::new(),
        }
    }

    fn answer(&mut self, cx: &mut Context<'_>, stream: libp2p_proto_core::StreamId) -> Option<Vec<u8>> {
        Some(
            match self.lie {
                Lie::AlwaysOk => v2::Message::dialed(0, DialStatus::Ok),
                Lie::NeverOk => v2::Message::dialed(0, DialStatus::DialError),
                Lie::Refuses => v2::Message::refusal(ResponseStatus::DialRefused),
                Lie::WrongIndex => v2::Message::dialed(3, DialStatus::DialError),
                Lie::WrongNonce => {
                    let back = cx.open(Target::Connection(stream.conn), &[2]).ok()?;
                    self.nonces.push(back);
                    v2::Message::dialed(0, DialStatus::Ok)
                }
                Lie::Stalls => v2::Message::DialDataRequest {
                    addr_idx: 0,
                    num_bytes: 100_000,
                },
            }
            .encode(),
        )
    }
}

impl Protocol for Liar {
    fn specs(&self) -> &[StreamSpec] {
        &self.specs
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: Input) {
        match input {
            Input::Frame { stream, data } if stream.is_inbound() => {
                let answer = if v1::Message::decode(&data, 0).is_ok() {
                    let status = match self.lie {
                        Lie::AlwaysOk | Lie::WrongNonce => Status::Ok,
                        Lie::NeverOk | Lie::WrongIndex => Status::DialError,
                        Lie::Refuses => Status::DialRefused,
                        Lie::Stalls => return,
                    };
                    Some(v1::Message::answer(status, None).encode())
                } else if matches!(v2::Message::decode(&data, 0), Ok(v2::Message::DialRequest { .. })) {
                    self.answer(cx, stream)
                } else {
                    None
                };
                if let Some(answer) = answer {
                    let _refused = cx.write(stream, answer);
                }
            }
            Input::Opened { stream, .. } if self.nonces.contains(&stream) => {
                let _refused = cx.write(stream, DialBack { nonce: 1 }.encode());
            }
            _ => {}
        }
    }
}

/// AutoNAT, or somebody who lies.
enum Reach {
    Honest(Box<Autonat>),
    Lying(Box<Liar>),
}

struct Mine {
    identify: Identify,
    kad: Kad,
    reach: Reach,
    serving: bool,
}

impl Mine {
    fn new(birth: &Birth<'_>, lies: &[Lie]) -> Result<Self, Error> {
        let app = |error: &dyn std::fmt::Display| Error::App(error.to_string());
        let name = ProtocolName::from_static("/test/kad/1.0.0");
        let automatic = KadConfig {
            mode: Mode::Auto,
            ..KadConfig::private(name, Validators::none().with("test", AnyValue))
        };
        let server = ServerConfig {
            when: Serve::Always,
            ..ServerConfig::default()
        };
        let config = AutonatConfig {
            server: Some(server).filter(|_| birth.place > 0),
            ..AutonatConfig::default()
        };
        let lie = birth.place.checked_sub(1).and_then(|place| lies.get(place));
        Ok(Self {
            identify: Identify::new(birth.identity.clone(), IdentifyConfig::default())
                .map_err(|error| app(&error))?,
            kad: Kad::new(birth.identity.peer_id(), automatic).map_err(|error| app(&error))?,
            reach: match lie {
                Some(lie) => Reach::Lying(Box::new(Liar::new(*lie))),
                None => Reach::Honest(Box::new(Autonat::new(config).map_err(|error| app(&error))?)),
            },
            serving: false,
        })
    }

    fn reachability(&self) -> Reachability {
        match &self.reach {
            Reach::Honest(autonat) => autonat.reachability(),
            Reach::Lying(_) => Reachability::Unknown,
        }
    }
}

impl App for Mine {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(&mut self.identify);
        lent.push(&mut self.kad);
        match &mut self.reach {
            Reach::Honest(autonat) => lent.push(&mut **autonat),
            Reach::Lying(liar) => lent.push(&mut **liar),
        }
        lent
    }

    fn step(&mut self, _: &mut Step<'_>) {
        while self.identify.poll_event().is_some() {}
        while let Some(event) = self.kad.poll_event() {
            if let Found::Serving(serving) = event {
                self.serving = serving;
            }
        }
        if let Reach::Honest(autonat) = &mut self.reach {
            while autonat.poll_event().is_some() {}
        }
    }
}

/// Host 0 asks; the first of the others lie so, and as many more as `honest` says do not. Each lives in a network of its own.
fn world(lies: &[Lie], honest: usize, nat: Option<NatKind>, seed: u64) -> Sim<Mine> {
    let hosts = 1 + lies.len() + honest;
    let mut scenario = Scenario::new(hosts);
    for host in 0..hosts {
        let network = u8::try_from(host).unwrap() + 10;
        scenario.ips.insert(host, [185, network, 0, 1].into());
    }
    scenario.nats.extend(nat.map(|kind| NatPlace {
        kind,
        outer: None,
        hosts: vec![0],
    }));
    if nat.is_some() {
        scenario.ips.remove(&0);
    }
    let lies = lies.to_vec();
    let mut sim = Sim::new(scenario, seed, move |birth| Mine::new(&birth, &lies)).unwrap();
    for host in 1..hosts {
        assert!(sim.dial(0, host));
    }
    sim.run_for(Duration::from_secs(600)).unwrap();
    sim
}

fn believed(sim: &mut Sim<Mine>) -> (Reachability, bool) {
    sim.command(0, |app, _, _| (app.reachability(), app.serving))
        .unwrap()
}

#[test]
fn a_public_host_is_found_public_and_one_behind_a_nat_private_and_kademlia_serves_by_it() {
    let mut sim = world(&[], 5, None, 1);
    assert_eq!(believed(&mut sim), (Reachability::Public, true));
    let mut sim = world(&[], 5, Some(RESTRICTED), 1);
    assert_eq!(believed(&mut sim), (Reachability::Private, false));
}

// covers: SIM-022
#[test]
fn liars_below_the_quorum_change_no_verdict() {
    let lies = [
        Lie::AlwaysOk,
        Lie::NeverOk,
        Lie::Refuses,
        Lie::WrongIndex,
        Lie::WrongNonce,
        Lie::Stalls,
    ];
    for (seed, lie) in (1..).zip(lies) {
        let two = [lie; 2];
        let mut sim = world(&two, 5, None, seed);
        assert_eq!(believed(&mut sim).0, Reachability::Public, "{lie:?}");
        let mut sim = world(&two, 5, Some(RESTRICTED), seed);
        assert_eq!(believed(&mut sim).0, Reachability::Private, "{lie:?}");
    }
}

#[test]
fn equal_seeds_give_equal_traces() {
    let hash = |seed| world(&[Lie::WrongNonce], 4, Some(RESTRICTED), seed).trace_hash();
    assert_eq!(hash(7), hash(7));
}
