//! Kademlia and GossipSub between simulated hosts: as services of a scenario file, and in an application of one's own that gives them commands.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use libp2p_proto_core::{PeerId, ProtocolName};
use libp2p_proto_gossipsub::{Config as GossipConfig, Event as Heard, Gossipsub};
use libp2p_proto_identify::{Config as IdentifyConfig, Identify};
use libp2p_proto_kad::{AnyValue, Config as KadConfig, Event as Found, Kad, Mode, Outcome, Validators};
use libp2p_proto_simulator::{App, Birth, Error, Lent, Plan, Scenario, Sim, Step};
use std::time::Duration;

/// An application of one's own: any protocols, in any number, read after each drive and commanded from outside.
struct Mine {
    identify: Identify,
    kad: Kad,
    gossip: Gossipsub,
    messages: Vec<(PeerId, Vec<u8>)>,
    values: Vec<Vec<u8>>,
    providers: Vec<PeerId>,
    failed: usize,
}

impl Mine {
    fn new(birth: &Birth<'_>) -> Result<Self, Error> {
        let app = |error: &dyn std::fmt::Display| Error::App(error.to_string());
        let name = ProtocolName::from_static("/test/kad/1.0.0");
        let server = KadConfig {
            mode: Mode::Server,
            ..KadConfig::private(name, Validators::none().with("test", AnyValue))
        };
        let mut gossip =
            Gossipsub::new(birth.identity.clone(), GossipConfig::default()).map_err(|error| app(&error))?;
        gossip.subscribe("news").map_err(|error| app(&error))?;
        Ok(Self {
            identify: Identify::new(birth.identity.clone(), IdentifyConfig::default())
                .map_err(|error| app(&error))?,
            kad: Kad::new(birth.identity.peer_id(), server).map_err(|error| app(&error))?,
            gossip,
            messages: Vec::new(),
            values: Vec::new(),
            providers: Vec::new(),
            failed: 0,
        })
    }
}

impl App for Mine {
    fn protocols(&mut self) -> Lent<'_> {
        let mut lent = Lent::new();
        lent.push(&mut self.identify);
        lent.push(&mut self.kad);
        lent.push(&mut self.gossip);
        lent
    }

    fn step(&mut self, _: &mut Step<'_>) {
        while self.identify.poll_event().is_some() {}
        while let Some(event) = self.kad.poll_event() {
            match event {
                Found::Finished {
                    result: Ok(Outcome::Value { value, .. }),
                    ..
                } => self.values.push(value.to_vec()),
                Found::Providers { providers, .. } => {
                    self.providers
                        .extend(providers.iter().map(|provider| provider.peer));
                }
                Found::Finished { result: Err(_), .. } => self.failed += 1,
                _ => {}
            }
        }
        while let Some(event) = self.gossip.poll_event() {
            if let Heard::Message { message, source, .. } = event {
                self.messages
                    .push((source, message.data.unwrap_or_default().to_vec()));
            }
        }
    }
}

#[test]
fn an_application_with_any_protocols_puts_finds_and_publishes_at_both_depths() {
    const HOSTS: usize = 12;
    for scenario in [Scenario::new(HOSTS), Scenario::new(HOSTS).at_swarm_level()] {
        let mut sim = Sim::new(scenario, 3, |birth| Mine::new(&birth)).unwrap();
        for host in 0..HOSTS {
            for step in [1, 3] {
                let to = (host + step) % HOSTS;
                let (peer, addr) = (sim.peer(to).unwrap(), sim.address_of(to).unwrap());
                sim.command(host, |app, _, _| app.kad.add_peer(peer, vec![addr]));
                assert!(sim.dial(host, to));
            }
        }
        sim.run_for(Duration::from_secs(20)).unwrap();

        let content = [&[0x12, 0x20][..], &[9; 32]].concat();
        let put = sim.command(2, |app, _, _| app.kad.put_value("/test/answer", "42").is_ok());
        let provided = sim.command(5, |app, _, _| app.kad.provide(content.clone()).is_ok());
        let published = sim.command(7, |app, _, _| app.gossip.publish("news", "hello", false).is_ok());
        assert_eq!((put, provided, published), (Some(true), Some(true), Some(true)));
        sim.run_for(Duration::from_secs(30)).unwrap();
        sim.command(9, |app, _, _| {
            app.kad.get_value("/test/answer", None).unwrap();
            app.kad.find_providers(content.clone(), 1).unwrap();
        });
        sim.run_for(Duration::from_secs(30)).unwrap();

        let asker = sim.app(9).unwrap();
        assert_eq!(
            (asker.values.as_slice(), asker.failed),
            ([b"42".to_vec()].as_slice(), 0)
        );
        assert!(asker.providers.contains(&sim.peer(5).unwrap()));
        for host in (0..HOSTS).filter(|host| *host != 7) {
            let heard = &sim.app(host).unwrap().messages;
            assert_eq!(heard.len(), 1, "host {host}");
            assert_eq!(heard[0].1, b"hello", "host {host}");
        }
        sim.wind_down(Duration::from_secs(30)).unwrap();
    }
}

#[test]
fn services_of_a_scenario_file_are_counted_at_both_depths() {
    for level in ["full", "swarm"] {
        let text = format!(
            "hosts = 10\nlevel = \"{level}\"\nservices = [\"kad\", \"gossipsub\"]\nfriends = 3\nrun = \"90s\"\n\
             [traffic]\nlookups = 30\nmessages = 60\nfrom = \"40s\"\n\
             [goal]\nconnected = 1.0\nfound = 1.0\ndelivered = 1.0\nwithin = \"1m\"\n"
        );
        let plan = Plan::parse(&text).unwrap();
        let report = plan.run(5, |_| {}).unwrap();
        assert_eq!(report.violation, None, "{level}");
        let stats = report.stats;
        assert!(
            stats.lookups >= 20 && stats.found == stats.lookups,
            "{level}: {stats:?}"
        );
        assert!(stats.published >= 40, "{level}: {stats:?}");
        assert_eq!(stats.wanted, stats.published * 9, "{level}");
        assert_eq!(stats.delivered, stats.wanted, "{level}");
        assert_eq!(report.deliveries.count(), stats.delivered, "{level}");
        let again = plan.run(5, |_| {}).unwrap();
        assert_eq!((report.hash, stats), (again.hash, again.stats), "{level}");
    }
    // What is wished for and not reached is told.
    let text = "hosts = 10\nservices = [\"gossipsub\"]\nfriends = 0\nrun = \"1m\"\n[goal]\ndelivered = 0.5\n";
    let violation = Plan::parse(text)
        .unwrap()
        .run(1, |_| {})
        .unwrap()
        .violation
        .unwrap();
    assert_eq!(violation.criterion, "G7");
    assert!(violation.what.contains("deliveries came"), "{violation}");
}
