//! The resolver against a name server of the test's own, on loopback.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use libp2p_proto_adapter_suite::{
    PATIENCE,
    names::{self, Record::Ip, Record::Txt},
};
use libp2p_proto_dns::{Config, Resolver};
use libp2p_proto_swarm::{Record, ResolveKind};
use std::{sync::mpsc::channel, time::Duration};

fn resolver() -> Resolver {
    let known = vec![
        ("both.test", Ip("192.0.2.1".parse().unwrap())),
        ("both.test", Ip("2001:db8::1".parse().unwrap())),
        ("six.test", Ip("2001:db8::2".parse().unwrap())),
        (
            "_dnsaddr.peer.test",
            Txt(vec!["dnsaddr=/ip4/192.0.2.1/tcp/1".into()]),
        ),
        (
            "_dnsaddr.peer.test",
            Txt(vec!["dnsaddr=/ip4/192.0.2.2".into(), "/tcp/2".into()]),
        ),
    ];
    let config = Config {
        servers: vec![names::serve(known)],
        timeout: Duration::from_millis(200),
        attempts: 0,
        ..Config::default()
    };
    Resolver::new(config).unwrap()
}

fn ask(resolver: &Resolver, name: &str, kind: ResolveKind) -> Result<Vec<Record>, &'static str> {
    let (sender, receiver) = channel();
    resolver.resolve(name.into(), kind, move |answer| sender.send(answer).unwrap());
    receiver.recv_timeout(PATIENCE).unwrap().map(|mut records| {
        records.sort_by_key(|record| format!("{record:?}"));
        records
    })
}

#[test]
fn each_kind_of_question_has_its_own_records() {
    let resolver = resolver();
    let ip = |text: &str| Record::Ip(text.parse().unwrap());
    let four = ask(&resolver, "both.test", ResolveKind::Ip4);
    assert_eq!(four, Ok(vec![ip("192.0.2.1")]));
    let six = ask(&resolver, "both.test", ResolveKind::Ip6);
    assert_eq!(six, Ok(vec![ip("2001:db8::1")]));
    let both = ask(&resolver, "both.test", ResolveKind::Ip);
    assert_eq!(both, Ok(vec![ip("192.0.2.1"), ip("2001:db8::1")]));
}

#[test]
fn the_strings_of_a_text_record_are_joined() {
    let texts = ask(&resolver(), "_dnsaddr.peer.test", ResolveKind::Txt);
    let text = |text: &str| Record::Txt(text.into());
    assert_eq!(
        texts,
        Ok(vec![
            text("dnsaddr=/ip4/192.0.2.1/tcp/1"),
            text("dnsaddr=/ip4/192.0.2.2/tcp/2")
        ])
    );
}

#[test]
fn a_failure_is_one_word_for_its_cause() {
    let resolver = resolver();
    let missing = ask(&resolver, "missing.test", ResolveKind::Ip);
    assert_eq!(missing, Err("name-not-found"));
    let missing = ask(&resolver, "both.test", ResolveKind::Txt);
    assert_eq!(missing, Err("name-not-found"));
    let silent = ask(&resolver, "silent.test", ResolveKind::Ip4);
    assert_eq!(silent, Err("resolver-timed-out"));
}

#[test]
fn a_name_of_the_other_family_alone_has_no_records() {
    let four = ask(&resolver(), "six.test", ResolveKind::Ip4);
    assert!(four.is_err() || four == Ok(vec![]), "{four:?}");
}
