// The interoperability peer that wraps go-libp2p.
package main

import (
	"libp2p-proto.invalid/interop/contract"
	"libp2p-proto.invalid/interop/keys"
)

func main() {
	contract.Main(&contract.Implementation{
		Name:    "go-libp2p",
		Version: contract.ModuleVersion("github.com/libp2p/go-libp2p"),
		Services: []string{
			"identify", "push", "ping", "perf", "echo", "reqresp", "fetch", "gossip", "kad", "relay", "dcutr", "autonat", "autonat2", "mdns",
		},
		Keys:       keys.All,
		Transports: []string{"tcp", "ws", "quic"},
		Security:   []string{"noise", "tls", "plaintext"},
		Muxers:     []string{"yamux"},
		Start:      start,
	})
}
