//! What a dialer can be asked to do.

use crate::args::seconds;
use libp2p_proto_autonat::Version;
use libp2p_proto_core::{PeerId, ProtocolName};
use std::{str::FromStr, time::Duration};

/// One `--do`: its text, as it is reported, and its meaning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Action {
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Ping {
        rounds: u32,
    },
    Identify,
    Push {
        name: ProtocolName,
    },
    Perf {
        up: u64,
        down: u64,
    },
    Echo {
        text: String,
    },
    Request {
        text: String,
    },
    Fetch {
        key: String,
    },
    Gossip {
        topic: String,
        count: u32,
        size: usize,
    },
    /// A query of Kademlia.
    Kad(Query),
    /// Reserve a slot at a relay.
    Reserve,
    /// Get a direct connection beside the relayed one.
    Dcutr,
    /// Register at a rendezvous point.
    Register {
        namespace: String,
    },
    /// Ask a rendezvous point who is registered.
    Discover {
        namespace: String,
    },
    /// Ask the peer whether it reaches us, with this version of AutoNAT.
    Reach(Version),
    Wait {
        time: Duration,
    },
    Alive,
    /// A word that this program has no action for.
    Unsupported,
}

/// What is asked of Kademlia. Keys are those of the contract: `/interop/KEY`, and the multihash sha2-256 of a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Query {
    Put {
        key: String,
        value: String,
    },
    Get {
        key: String,
    },
    Provide {
        text: String,
    },
    FindProviders {
        text: String,
    },
    FindPeer {
        peer: PeerId,
    },
    Closest {
        text: String,
    },
    /// The name that is our peer id shall point to a path.
    Publish {
        path: String,
    },
    /// Where a name points.
    Resolve {
        name: PeerId,
    },
}

/// Round trips of a `ping` without a number.
const ROUNDS: u32 = 3;

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = match text.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        let needs = |what: &str| rest.ok_or_else(|| format!("write {word}:{what}"));
        let kind = match word {
            "ping" => Kind::Ping {
                rounds: match rest {
                    None => ROUNDS,
                    Some(rest) => rest
                        .parse()
                        .ok()
                        .filter(|rounds| *rounds > 0)
                        .ok_or("write ping:N with N from 1 to 4294967295")?,
                },
            },
            "identify" | "alive" | "relay-reserve" | "dcutr" | "autonat" | "autonat2" if rest.is_some() => {
                return Err(format!("{word} takes no argument"));
            }
            "identify" => Kind::Identify,
            "alive" => Kind::Alive,
            "push" => Kind::Push {
                name: ProtocolName::new(needs("PROTO")?).map_err(|error| error.to_string())?,
            },
            "perf" => {
                let sizes = needs("UP:DOWN")?
                    .split_once(':')
                    .and_then(|(up, down)| Some((up.parse().ok()?, down.parse().ok()?)));
                let (up, down) = sizes.ok_or("write perf:UP:DOWN with two numbers of bytes")?;
                Kind::Perf { up, down }
            }
            "echo" => Kind::Echo {
                text: needs("TEXT")?.to_owned(),
            },
            "reqresp" => Kind::Request {
                text: needs("TEXT")?.to_owned(),
            },
            "fetch" => Kind::Fetch {
                key: needs("KEY")?.to_owned(),
            },
            "gossip" => gossip(needs("TOPIC[:N[:SIZE]]")?)?,
            "kad-put" => {
                let (key, value) = needs("KEY:VALUE")?
                    .split_once(':')
                    .ok_or("write kad-put:KEY:VALUE")?;
                Kind::Kad(Query::Put {
                    key: key.to_owned(),
                    value: value.to_owned(),
                })
            }
            "kad-get" => Kind::Kad(Query::Get {
                key: needs("KEY")?.to_owned(),
            }),
            "kad-provide" => Kind::Kad(Query::Provide {
                text: needs("TEXT")?.to_owned(),
            }),
            "kad-find-providers" => Kind::Kad(Query::FindProviders {
                text: needs("TEXT")?.to_owned(),
            }),
            "kad-find-peer" => Kind::Kad(Query::FindPeer {
                peer: needs("ID")?
                    .parse()
                    .map_err(|_| "write kad-find-peer:ID with a peer id")?,
            }),
            "kad-closest" => Kind::Kad(Query::Closest {
                text: needs("TEXT")?.to_owned(),
            }),
            "relay-reserve" => Kind::Reserve,
            "autonat" => Kind::Reach(Version::V1),
            "autonat2" => Kind::Reach(Version::V2),
            "dcutr" => Kind::Dcutr,
            "rendezvous-register" => Kind::Register {
                namespace: needs("NS")?.to_owned(),
            },
            "rendezvous-discover" => Kind::Discover {
                namespace: needs("NS")?.to_owned(),
            },
            "ipns-publish" => Kind::Kad(Query::Publish {
                path: needs("PATH")?.to_owned(),
            }),
            "ipns-resolve" => Kind::Kad(Query::Resolve {
                name: needs("NAME")?
                    .parse()
                    .map_err(|_| "write ipns-resolve:NAME with a peer id")?,
            }),
            "wait" => Kind::Wait {
                time: seconds(needs("SECS")?)?,
            },
            _ => Kind::Unsupported,
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }
}

/// Longest message of `gossip`: what every listener takes, with room to spare.
const MAX_GOSSIP: usize = 256 * 1024;

/// `TOPIC`, then perhaps the number of messages, then perhaps their size.
fn gossip(text: &str) -> Result<Kind, String> {
    let wrong = "write gossip:TOPIC[:N[:SIZE]] with N from 1 to 4294967295 and SIZE up to 262144";
    let mut parts = text.split(':');
    let topic = parts.next().filter(|topic| !topic.is_empty()).ok_or(wrong)?;
    let count = parts.next().map_or(Ok(1), str::parse).ok();
    let size = parts.next().map_or(Ok(0), str::parse).ok();
    let (count, size) = count.zip(size).filter(|_| parts.next().is_none()).ok_or(wrong)?;
    if count == 0 || size > MAX_GOSSIP {
        return Err(wrong.into());
    }
    Ok(Kind::Gossip {
        topic: topic.to_owned(),
        count,
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::{Action, Kind, Version};
    use std::time::Duration;

    fn kind(text: &str) -> Result<Kind, String> {
        text.parse().map(|action: Action| action.kind)
    }

    #[test]
    fn every_action_of_the_contract_is_understood() {
        assert_eq!(kind("ping"), Ok(Kind::Ping { rounds: 3 }));
        assert_eq!(kind("ping:7"), Ok(Kind::Ping { rounds: 7 }));
        assert_eq!(kind("identify"), Ok(Kind::Identify));
        assert!(matches!(kind("push:/a/1"), Ok(Kind::Push { name }) if name.as_str() == "/a/1"));
        assert_eq!(
            kind("perf:0:18446744073709551615"),
            Ok(Kind::Perf {
                up: 0,
                down: u64::MAX
            })
        );
        assert_eq!(kind("echo:a:b"), Ok(Kind::Echo { text: "a:b".into() }));
        assert_eq!(kind("echo:"), Ok(Kind::Echo { text: String::new() }));
        assert_eq!(kind("reqresp:x"), Ok(Kind::Request { text: "x".into() }));
        assert_eq!(
            kind("fetch:missing"),
            Ok(Kind::Fetch {
                key: "missing".into()
            })
        );
        assert_eq!(
            kind("wait:0.5"),
            Ok(Kind::Wait {
                time: Duration::from_millis(500)
            })
        );
        assert_eq!(kind("alive"), Ok(Kind::Alive));
        let gossip = |count, size| {
            Ok(Kind::Gossip {
                topic: "t".into(),
                count,
                size,
            })
        };
        assert_eq!(kind("gossip:t"), gossip(1, 0));
        assert_eq!(kind("gossip:t:3"), gossip(3, 0));
        assert_eq!(kind("gossip:t:1:100"), gossip(1, 100));
        assert_eq!(
            kind("kad-put:k:a:b"),
            Ok(Kind::Kad(super::Query::Put {
                key: "k".into(),
                value: "a:b".into(),
            }))
        );
        assert_eq!(
            kind("ipns-publish:/ipfs/x"),
            Ok(Kind::Kad(super::Query::Publish {
                path: "/ipfs/x".into()
            }))
        );
        let namespace = String::from("n");
        assert_eq!(kind("rendezvous-discover:n"), Ok(Kind::Discover { namespace }));
        let namespace = String::from("n");
        assert_eq!(kind("rendezvous-register:n"), Ok(Kind::Register { namespace }));
        assert_eq!(kind("autonat"), Ok(Kind::Reach(Version::V1)));
        assert_eq!(kind("autonat2"), Ok(Kind::Reach(Version::V2)));
        assert_eq!(kind("dance"), Ok(Kind::Unsupported));
    }

    #[test]
    fn a_known_action_with_a_wrong_argument_is_wrong_usage() {
        for text in [
            "ping:",
            "ping:0",
            "ping:x",
            "ping:-1",
            "identify:x",
            "alive:x",
            "autonat2:x",
            "push",
            "push:",
            "perf",
            "perf:1",
            "perf:1:x",
            "perf:-1:1",
            "echo",
            "reqresp",
            "fetch",
            "gossip",
            "gossip:",
            "gossip:t:0",
            "gossip:t:x",
            "gossip:t:1:262145",
            "gossip:t:1:1:1",
            "wait",
            "kad-put:a",
            "kad-get",
            "kad-find-peer:x",
            "ipns-publish",
            "ipns-resolve:x",
            "wait:",
            "wait:x",
            "wait:-1",
            "wait:inf",
            "wait:NaN",
        ] {
            assert!(kind(text).is_err(), "{text}");
        }
    }
}
