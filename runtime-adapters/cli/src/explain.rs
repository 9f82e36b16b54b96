//! Causes in words, with a way out where there is one.

use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_driver::DialFailure;
use libp2p_proto_stream_protocol::{AttemptError, DialError, DialRefused, LinkError};

/// Why a dial did not end in a connection.
pub(crate) fn dial(failure: &DialFailure) -> String {
    match failure {
        DialFailure::Refused(refused) => dial_refused(*refused),
        DialFailure::Failed(error) => dial_error(error),
        other => other.to_string(),
    }
}

fn dial_refused(refused: DialRefused) -> String {
    match refused {
        DialRefused::SelfDial => {
            String::from("this is our own peer id: dial another peer, or leave out --seed")
        }
        DialRefused::BadPeerId => {
            String::from("no peer can have this id, since it holds no key: is it copied whole?")
        }
        DialRefused::NoAddress => String::from(
            "no address that can be dialed: it needs an IP address or a name, and a port that is not 0",
        ),
        other => other.to_string(),
    }
}

/// The causes, address by address.
pub(crate) fn dial_error(error: &DialError) -> String {
    match error {
        DialError::AllFailed(failures) => {
            let causes: Vec<_> = failures.iter().map(|(addr, cause)| at(addr, *cause)).collect();
            causes.join("; ")
        }
        DialError::TimedOut => String::from("no address answered in time (limits.dial_timeout)"),
        other => other.to_string(),
    }
}

fn at(addr: &Multiaddr, cause: AttemptError) -> String {
    format!("{addr}: {}", attempt(cause))
}

fn attempt(cause: AttemptError) -> String {
    match cause {
        AttemptError::Transport(code) => transport(code),
        AttemptError::TimedOut => String::from("the handshake did not end in time (limits.outbound_upgrade)"),
        AttemptError::Upgrade(error) if stalled_in(error.code).is_some() => {
            format!("{} (limits.outbound_upgrade)", link(error))
        }
        AttemptError::WrongPeer { expected, got } => wrong_peer(expected, got),
        AttemptError::SelfDial => String::from("that is this very peer: dial another one"),
        AttemptError::Upgrade(error) => link(error),
        AttemptError::Resolve(code) => {
            format!("the name could not be resolved ({code}): is it spelled right, is there a name server?")
        }
        other => other.to_string(),
    }
}

fn wrong_peer(expected: PeerId, got: PeerId) -> String {
    format!(
        "wrong peer: {got} answers, not {expected}; if it is the one you mean, end the address in /p2p/{got}"
    )
}

/// What the operating system says of a link.
fn transport(code: &str) -> String {
    let told = match code {
        "refused" => {
            "connection refused: nothing listens at that port; is the peer running, is the port right?"
        }
        "timed-out" => "no answer from that address: is it right, does a firewall drop the packets?",
        "host-unreachable" => "no route to that host: is it up, is the address right?",
        "network-unreachable" => {
            "no route to that network: is this machine online, does it speak that version of IP?"
        }
        "address-not-available" => "this machine has no such address",
        "reset" => "the peer closed the connection early (reset)",
        "aborted" | "broken-pipe" => "the connection broke",
        "unsupported" => "this transport is not supported",
        other => return format!("the transport failed ({other})"),
    };
    String::from(told)
}

/// Why a connection is gone.
pub(crate) fn ended(error: Option<LinkError>) -> String {
    error.map_or_else(|| String::from("the peer closed it"), link)
}

/// The step of an upgrade that did not end in time.
fn stalled_in(code: &str) -> Option<&'static str> {
    Some(match code {
        "security-timeout" => "security negotiation; does a libp2p peer sit there?",
        "handshake-timeout" => "Noise handshake",
        "admission-timeout" => "admission, since this node is too busy",
        "muxer-timeout" => "muxer negotiation",
        "ws-upgrade-timeout" => "WebSocket upgrade",
        _ => return None,
    })
}

/// Why an upgrade failed, or a connection ended.
pub(crate) fn link(error: LinkError) -> String {
    if let Some(step) = stalled_in(error.code) {
        return format!("the handshake did not end in time: it stalled in the {step}");
    }
    let told = match error.code {
        "closed" | "eof" | "unexpected-end" => "the peer closed the connection early",
        "wrong-peer" => "wrong peer: another one answers there than the /p2p/ID of the address",
        "self-dial" => "that is this very peer",
        "upgrade-timeout" => "the handshake did not end in time",
        "not-multistream" | "no-newline" | "line-too-long" | "bad-length" | "second-header"
        | "unexpected-reply" => {
            return format!(
                "the other end does not speak libp2p ({}): is the port right?",
                error.code
            );
        }
        "no-common-protocol" | "no-common-muxer" => "nothing in common: this program offers noise and yamux",
        "keep-alive-timeout" => "the peer has fallen silent",
        "peer-not-reading" => "the peer does not read",
        "go-away" | "yamux-go-away" => "the peer went away with an error",
        "refused"
        | "timed-out"
        | "host-unreachable"
        | "network-unreachable"
        | "reset"
        | "aborted"
        | "broken-pipe" => {
            return transport(error.code);
        }
        code if code.starts_with("noise-") => return format!("the secure handshake failed ({code})"),
        code if code.starts_with("yamux-") => {
            return format!("the peer broke the multiplexer's rules ({code})");
        }
        other => other,
    };
    String::from(told)
}
