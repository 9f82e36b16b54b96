// The interoperability peer that wraps kubo: a real daemon in a repository of its own, led over its HTTP interface.
//
// The daemon's program, `ipfs`, lies beside this one.
package main

import (
	"libp2p-proto.invalid/interop/contract"
	"libp2p-proto.invalid/interop/keys"
)

// version is what `ipfs version` says, set when this program is built.
var version = "unknown"

func main() {
	contract.Main(&contract.Implementation{
		Name:       "kubo",
		Version:    version,
		Services:   []string{"identify", "push", "ping", "gossip", "kad", "relay", "dcutr", "autonat", "autonat2", "mdns"},
		Keys:       keys.All,
		Transports: []string{"tcp", "ws", "quic"},
		Security:   []string{"noise", "tls"},
		Muxers:     []string{"yamux"},
		// The daemon's Kademlia of local networks: that of the public network takes no loopback address.
		Kad:   "/ipfs/lan/kad/1.0.0",
		Start: start,
	})
}
