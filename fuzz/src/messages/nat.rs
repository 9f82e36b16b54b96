//! Relays, hole punching and questions of reachability.

use super::agree;
use bytes::Bytes;
use libp2p_proto_autonat::wire::{v1, v2};
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_dcutr::HolePunch;
use libp2p_proto_relay::{HopMessage, Limit, Reservation, Status, StopMessage};
use prost::{DecodeError, Message as _};

fn addrs(list: &[Vec<u8>], max: usize) -> Vec<Multiaddr> {
    let parsed = list.iter().filter_map(|bytes| {
        let bytes = Bytes::copy_from_slice(bytes);
        Multiaddr::from_bytes(bytes).ok()
    });
    parsed.take(max).collect()
}

/// Every part of a list of the same part is read, and the last one counts.
fn last<M: prost::Message + Default>(parts: &[Vec<u8>]) -> Result<Option<M>, DecodeError> {
    let mut last = None;
    for part in parts {
        last = Some(M::decode(&part[..])?);
    }
    Ok(last)
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireHop {
    #[prost(uint64, optional, tag = "1")]
    kind: Option<u64>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    peer: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    reservation: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    limit: Vec<Vec<u8>>,
    #[prost(uint64, tag = "5")]
    status: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireStop {
    #[prost(uint64, optional, tag = "1")]
    kind: Option<u64>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    peer: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    limit: Vec<Vec<u8>>,
    #[prost(uint64, tag = "4")]
    status: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePeer {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireReservation {
    #[prost(uint64, tag = "1")]
    expire: u64,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addrs: Vec<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    voucher: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireLimit {
    #[prost(uint64, tag = "1")]
    duration: u64,
    #[prost(uint64, tag = "2")]
    data: u64,
}

fn peer(parts: &[Vec<u8>]) -> Result<Option<PeerId>, DecodeError> {
    let last = last::<WirePeer>(parts)?;
    Ok(last.and_then(|wire| PeerId::from_bytes(&wire.id).ok()))
}

fn limit(parts: &[Vec<u8>]) -> Result<Limit, DecodeError> {
    let wire = last::<WireLimit>(parts)?.unwrap_or_default();
    Ok(Limit {
        duration: u32::try_from(wire.duration).unwrap_or(u32::MAX),
        data: wire.data,
    })
}

pub(super) fn hop(message: &[u8]) {
    let theirs = WireHop::decode(message).ok().and_then(hop_means);
    agree(message, HopMessage::decode(message), theirs);
}

fn hop_means(wire: WireHop) -> Option<HopMessage> {
    let (peer, limit) = (peer(&wire.peer).ok()?, limit(&wire.limit).ok()?);
    let reservation = last::<WireReservation>(&wire.reservation).ok()?;
    Some(match wire.kind? {
        0 => HopMessage::Reserve,
        1 => HopMessage::Connect { peer: peer? },
        2 => HopMessage::Status {
            status: Status::from_code(wire.status),
            reservation: reservation.map(|wire| Reservation {
                expire: wire.expire,
                addrs: addrs(&wire.addrs, 100),
                voucher: wire.voucher.map(Bytes::from),
            }),
            limit,
        },
        _ => return None,
    })
}

pub(super) fn stop(message: &[u8]) {
    let theirs = WireStop::decode(message).ok().and_then(stop_means);
    agree(message, StopMessage::decode(message), theirs);
}

fn stop_means(wire: WireStop) -> Option<StopMessage> {
    let (peer, limit) = (peer(&wire.peer).ok()?, limit(&wire.limit).ok()?);
    Some(match wire.kind? {
        0 => StopMessage::Connect { peer: peer?, limit },
        1 => StopMessage::Status {
            status: Status::from_code(wire.status),
        },
        _ => return None,
    })
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireHolePunch {
    #[prost(uint64, optional, tag = "1")]
    kind: Option<u64>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addrs: Vec<Vec<u8>>,
}

pub(super) fn dcutr(message: &[u8]) {
    let theirs = WireHolePunch::decode(message).ok().and_then(|wire| {
        Some(match wire.kind? {
            100 => HolePunch::Connect {
                addrs: addrs(&wire.addrs, 256),
            },
            300 => HolePunch::Sync,
            _ => return None,
        })
    });
    agree(message, HolePunch::decode(message), theirs);
}

const MAX_ADDRS: usize = 50;

fn raw(list: Vec<Vec<u8>>) -> Vec<Bytes> {
    list.into_iter().take(MAX_ADDRS).map(Bytes::from).collect()
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireV1 {
    #[prost(uint64, optional, tag = "1")]
    kind: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    dial: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    response: Option<Vec<u8>>,
}

/// A part of one part, of which the last one counts.
#[derive(Clone, PartialEq, prost::Message)]
struct WireDial {
    #[prost(bytes = "vec", optional, tag = "1")]
    peer: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePeerInfo {
    #[prost(bytes = "vec", optional, tag = "1")]
    id: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    addrs: Vec<Vec<u8>>,
}

/// The text is bytes: what is not UTF-8 is replaced, for nobody but a person reads it.
#[derive(Clone, PartialEq, prost::Message)]
struct WireResponse {
    #[prost(uint64, optional, tag = "1")]
    status: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "2")]
    text: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "3")]
    addr: Option<Vec<u8>>,
}

pub(super) fn autonat_v1(message: &[u8]) {
    let theirs = WireV1::decode(message).ok().and_then(v1_means);
    agree(message, v1::Message::decode(message, MAX_ADDRS), theirs);
}

fn v1_means(wire: WireV1) -> Option<v1::Message> {
    Some(match wire.kind? {
        0 => {
            let dial = WireDial::decode(&wire.dial?[..]).ok()?;
            let info = WirePeerInfo::decode(&dial.peer?[..]).ok()?;
            v1::Message::Dial {
                peer: info.id.map(Bytes::from),
                addrs: raw(info.addrs),
            }
        }
        1 => {
            let part = WireResponse::decode(&wire.response?[..]).ok()?;
            v1::Message::Response {
                status: match part.status? {
                    0 => v1::Status::Ok,
                    100 => v1::Status::DialError,
                    101 => v1::Status::DialRefused,
                    200 => v1::Status::BadRequest,
                    300 => v1::Status::InternalError,
                    other => v1::Status::Unknown(other),
                },
                text: part.text.map(|text| String::from_utf8_lossy(&text).into_owned()),
                addr: part.addr.map(Bytes::from),
            }
        }
        _ => return None,
    })
}

/// A `oneof`: which of the parts came last is for prost to say.
#[derive(Clone, PartialEq, prost::Message)]
struct WireV2 {
    #[prost(oneof = "Part", tags = "1, 2, 3, 4")]
    part: Option<Part>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Part {
    #[prost(bytes = "vec", tag = "1")]
    Request(Vec<u8>),
    #[prost(bytes = "vec", tag = "2")]
    Response(Vec<u8>),
    #[prost(bytes = "vec", tag = "3")]
    DataRequest(Vec<u8>),
    #[prost(bytes = "vec", tag = "4")]
    Data(Vec<u8>),
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireDialRequest {
    #[prost(bytes = "vec", repeated, tag = "1")]
    addrs: Vec<Vec<u8>>,
    #[prost(fixed64, tag = "2")]
    nonce: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireDialResponse {
    #[prost(uint64, tag = "1")]
    status: u64,
    #[prost(uint64, tag = "2")]
    addr_idx: u64,
    #[prost(uint64, tag = "3")]
    dial_status: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireDataRequest {
    #[prost(uint64, tag = "1")]
    addr_idx: u64,
    #[prost(uint64, tag = "2")]
    num_bytes: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireData {
    #[prost(bytes = "vec", tag = "1")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireDialBack {
    #[prost(fixed64, tag = "1")]
    nonce: u64,
}

pub(super) fn autonat_v2(message: &[u8]) {
    let ours = v2::Message::decode(&Bytes::copy_from_slice(message), MAX_ADDRS);
    let theirs = WireV2::decode(message).ok().and_then(v2_means);
    agree(message, ours, theirs);
}

fn v2_means(wire: WireV2) -> Option<v2::Message> {
    let index = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Some(match wire.part? {
        Part::Request(part) => {
            let part = WireDialRequest::decode(&part[..]).ok()?;
            v2::Message::DialRequest {
                addrs: raw(part.addrs),
                nonce: part.nonce,
            }
        }
        Part::Response(part) => {
            let part = WireDialResponse::decode(&part[..]).ok()?;
            v2::Message::DialResponse {
                status: match part.status {
                    0 => v2::ResponseStatus::InternalError,
                    100 => v2::ResponseStatus::RequestRejected,
                    101 => v2::ResponseStatus::DialRefused,
                    200 => v2::ResponseStatus::Ok,
                    other => v2::ResponseStatus::Unknown(other),
                },
                addr_idx: index(part.addr_idx),
                dial_status: match part.dial_status {
                    0 => v2::DialStatus::Unused,
                    100 => v2::DialStatus::DialError,
                    101 => v2::DialStatus::DialBackError,
                    200 => v2::DialStatus::Ok,
                    other => v2::DialStatus::Unknown(other),
                },
            }
        }
        Part::DataRequest(part) => {
            let part = WireDataRequest::decode(&part[..]).ok()?;
            v2::Message::DialDataRequest {
                addr_idx: index(part.addr_idx),
                num_bytes: part.num_bytes,
            }
        }
        Part::Data(part) => v2::Message::DialDataResponse {
            data: WireData::decode(&part[..]).ok()?.data.into(),
        },
    })
}

pub(super) fn dial_back(message: &[u8]) {
    let theirs = WireDialBack::decode(message).ok();
    let theirs = theirs.map(|wire| v2::DialBack { nonce: wire.nonce });
    agree(message, v2::DialBack::decode(message), theirs);
}
