//! What an application asks of the protocol, as values.

use crate::{Kad, Mode, QueryId};
use alloc::vec::Vec;
use bytes::Bytes;
use libp2p_proto_core::{Multiaddr, PeerId};
use libp2p_proto_stream_protocol::{commands, words};

words!(QueryId { 0 });
words!(Mode: "client" => Client, "server" => Server, "auto" => Auto, "auto-server" => AutoServer);

commands! {
    /// What an application asks of [`Kad`].
    pub enum Command {
        /// [`Kad::find_peer`].
        "find-peer" => FindPeer {
            /// Whom.
            peer: PeerId,
        },
        /// [`Kad::closest_peers`].
        "closest" => ClosestPeers {
            /// The key.
            key: Bytes,
        },
        /// [`Kad::get_value`].
        "get" => GetValue {
            /// The key.
            key: Bytes,
            /// Answers that end the search.
            quorum: Option<usize>,
        },
        /// [`Kad::find_providers`].
        "find-providers" => FindProviders {
            /// The content.
            multihash: Bytes,
            /// Providers that end the search.
            wanted: usize,
        },
        /// [`Kad::find_reachable_providers`].
        "find-reachable-providers" => FindReachableProviders {
            /// The content.
            multihash: Bytes,
            /// Providers that end the search.
            wanted: usize,
        },
        /// [`Kad::widen`].
        "widen" => Widen {
            /// The query.
            query: QueryId,
        },
        /// [`Kad::put_value`].
        "put" => PutValue {
            /// The key.
            key: Bytes,
            /// The value.
            value: Bytes,
        },
        /// [`Kad::provide`].
        "provide" => Provide {
            /// The content.
            multihash: Bytes,
        },
        /// [`Kad::provide_many`].
        "provide-many" => ProvideMany {
            /// The contents.
            multihashes: Vec<Bytes>,
        },
        /// [`Kad::restore_provided`].
        "restore-provided" => RestoreProvided {
            /// What was provided in an earlier run.
            snapshot: Bytes,
        },
        /// [`Kad::stop_providing`].
        "stop-providing" => StopProviding {
            /// The content.
            multihash: Bytes,
        },
        /// [`Kad::stop_publishing`].
        "stop-publishing" => StopPublishing {
            /// The key.
            key: Bytes,
        },
        /// [`Kad::add_peer`].
        "add" => AddPeer {
            /// Whom.
            peer: PeerId,
            /// Where.
            addrs: Vec<Multiaddr>,
        },
        /// [`Kad::cancel`].
        "cancel" => Cancel {
            /// The query.
            query: QueryId,
        },
        /// [`Kad::refresh`].
        "refresh" => Refresh,
        /// [`Kad::set_mode`].
        "mode" => SetMode {
            /// Whether to answer others.
            mode: Mode,
        },
        /// [`Kad::set_optimistic`].
        "optimistic" => SetOptimistic {
            /// Whether records leave before their lookup is over.
            optimistic: bool,
        },
        /// [`Kad::set_progress`].
        "progress" => SetProgress {
            /// Whether the steps of queries are told.
            progress: bool,
        },
        /// [`Kad::restore`].
        "restore" => Restore {
            /// The table of an earlier run.
            snapshot: Bytes,
        },
        /// [`Kad::poll_event`].
        "poll" => Poll,
    }
}

impl Kad {
    /// Does what the method of that name does. What that would answer shows in the events.
    pub fn apply(&mut self, command: Command) {
        match command {
            Command::FindPeer { peer } => drop(self.find_peer(peer)),
            Command::ClosestPeers { key } => drop(self.closest_peers(key)),
            Command::GetValue { key, quorum } => drop(self.get_value(key, quorum)),
            Command::FindProviders { multihash, wanted } => drop(self.find_providers(multihash, wanted)),
            Command::FindReachableProviders { multihash, wanted } => {
                let _shows_in_events = self.find_reachable_providers(multihash, wanted);
            }
            Command::Widen { query } => self.widen(query),
            Command::PutValue { key, value } => drop(self.put_value(key, value)),
            Command::Provide { multihash } => drop(self.provide(multihash)),
            Command::ProvideMany { multihashes } => drop(self.provide_many(multihashes)),
            Command::RestoreProvided { snapshot } => drop(self.restore_provided(&snapshot)),
            Command::StopProviding { multihash } => self.stop_providing(&multihash),
            Command::StopPublishing { key } => self.stop_publishing(&key),
            Command::AddPeer { peer, addrs } => self.add_peer(peer, addrs),
            Command::Cancel { query } => self.cancel(query),
            Command::Refresh => self.refresh(),
            Command::SetMode { mode } => self.set_mode(mode),
            Command::SetOptimistic { optimistic } => self.set_optimistic(optimistic),
            Command::SetProgress { progress } => self.set_progress(progress),
            Command::Restore { snapshot } => drop(self.restore(&snapshot)),
            Command::Poll => drop(self.poll_event()),
        }
    }
}
