package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/boxo/ipns"
	"github.com/ipfs/go-cid"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"

	"libp2p-proto.invalid/interop/contract"
)

// lastValue takes any value; whoever writes last has written.
type lastValue struct{}

func (lastValue) Validate(string, []byte) error        { return nil }
func (lastValue) Select(string, [][]byte) (int, error) { return 0, nil }

// mountKad starts Kademlia: a listener serves it, a dialer only asks.
func (n *node) mountKad(_ context.Context, options *contract.Options) (err error) {
	if !options.Uses("kad", "kad-") {
		return nil
	}
	mode := dht.ModeServer
	if options.Dialing {
		mode = dht.ModeClient
	}
	n.dht, err = dht.New(
		n.host, dht.Mode(mode),
		// The prefix makes it a network of its own; the name is what is spoken.
		dht.ProtocolPrefix("/interop"), dht.V1ProtocolOverride(protocol.ID(options.Kad)),
		dht.Validator(record.NamespacedValidator{
			"interop": lastValue{}, "pk": record.PublicKeyValidator{}, "ipns": ipns.Validator{KeyBook: n.host.Peerstore()},
		}),
		// Loopback addresses are told and kept, and all peers come from one host.
		dht.AddressFilter(func(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr { return addrs }),
		dht.RoutingTablePeerDiversityFilter(nil),
	)
	if err == nil {
		n.closers = append(n.closers, n.dht)
	}
	return err
}

// asked waits until the connected peer is in the routing table, which it enters after a check of its own.
func (n *node) asked(ctx context.Context) (*pb.ProtocolMessenger, error) {
	for remote := n.conn.RemotePeer(); n.dht.RoutingTable().Find(remote) == ""; {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.New("the peer did not enter the routing table")
		}
	}
	return pb.NewProtocolMessenger(n.dht.MessageSender())
}

func (n *node) Put(ctx context.Context, key, value string) error {
	messenger, err := n.asked(ctx)
	if err != nil {
		return err
	}
	if err := n.dht.PutValue(ctx, key, []byte(value)); err != nil {
		return err
	}
	// That peers refuse the value is logged only, so the peer is asked for it.
	kept, _, err := messenger.GetValue(ctx, n.conn.RemotePeer(), key)
	if err == nil && string(kept.GetValue()) != value {
		err = fmt.Errorf("the peer holds %q", kept.GetValue())
	}
	return err
}

func (n *node) Get(ctx context.Context, key string) (string, error) {
	if _, err := n.asked(ctx); err != nil {
		return "", err
	}
	value, err := n.dht.GetValue(ctx, key)
	return string(value), err
}

func hashOf(text string) (multihash.Multihash, error) {
	return multihash.Sum([]byte(text), multihash.SHA2_256, -1)
}

func cidOf(text string) (cid.Cid, error) {
	hash, err := hashOf(text)
	return cid.NewCidV1(cid.Raw, hash), err
}

func (n *node) Provide(ctx context.Context, text string) error {
	messenger, err := n.asked(ctx)
	if err != nil {
		return err
	}
	key, err := cidOf(text)
	if err != nil {
		return err
	}
	if err := n.dht.Provide(ctx, key, true); err != nil {
		return err
	}
	// Here, too, refusals are not told.
	providers, _, err := messenger.GetProviders(ctx, n.conn.RemotePeer(), key.Hash())
	if err != nil {
		return err
	}
	for _, provider := range providers {
		if provider.ID == n.host.ID() {
			return nil
		}
	}
	return errors.New("the peer did not keep the record")
}

func (n *node) FindProviders(ctx context.Context, text string) ([]string, error) {
	if _, err := n.asked(ctx); err != nil {
		return nil, err
	}
	key, err := cidOf(text)
	if err != nil {
		return nil, err
	}
	found, err := n.dht.FindProviders(ctx, key)
	ids := make([]string, len(found))
	for i, provider := range found {
		ids[i] = provider.ID.String()
	}
	return ids, err
}

func (n *node) FindPeer(ctx context.Context, text string) ([]string, error) {
	if _, err := n.asked(ctx); err != nil {
		return nil, err
	}
	id, err := peer.Decode(text)
	if err != nil {
		return nil, err
	}
	found, err := n.dht.FindPeer(ctx, id)
	return texts(found.Addrs), err
}

func (n *node) Closest(ctx context.Context, text string) ([]string, error) {
	if _, err := n.asked(ctx); err != nil {
		return nil, err
	}
	key, err := hashOf(text)
	if err != nil {
		return nil, err
	}
	found, err := n.dht.GetClosestPeers(ctx, string(key))
	ids := make([]string, len(found))
	for i, id := range found {
		ids[i] = id.String()
	}
	return ids, err
}
