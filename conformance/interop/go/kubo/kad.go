package main

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/multiformats/go-multihash"

	"libp2p-proto.invalid/interop/contract"
)

// asked waits until the connected peer is in the daemon's routing table.
func (n *node) asked(ctx context.Context) error {
	type table struct {
		Buckets []struct{ Peers []struct{ ID string } }
	}
	for {
		there := false
		err := ask(ctx, n.daemon, "stats/dht", url.Values{"arg": {"lan"}}, func(answer table) error {
			for _, bucket := range answer.Buckets {
				there = there || slices.Contains(bucket.Peers, struct{ ID string }{n.remote})
			}
			return nil
		})
		if err != nil || there {
			return err
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return errors.New("the peer did not enter the routing table")
		}
	}
}

// query asks the daemon's routing and hands over each event of a kind.
func (n *node) query(ctx context.Context, command string, query url.Values, kind routing.QueryEventType, take func(routing.QueryEvent)) error {
	if err := n.asked(ctx); err != nil {
		return err
	}
	return ask(ctx, n.daemon, command, query, func(event routing.QueryEvent) error {
		switch event.Type {
		case kind:
			take(event)
		case routing.QueryError:
			// That of no peer is the end of the query.
			if event.ID == "" {
				return errors.New(event.Extra)
			}
		}
		return nil
	})
}

func (n *node) Put(context.Context, string, string) error {
	return contract.Unsupported("a kubo daemon stores only names: its Kademlia has no namespace but /pk and /ipns")
}

func (n *node) Get(context.Context, string) (string, error) {
	return "", contract.Unsupported("a kubo daemon finds only names: its Kademlia has no namespace but /pk and /ipns")
}

// put makes the text a block, which a daemon has to hold before it provides it, and answers its CID.
func (n *node) put(ctx context.Context, text string) (key string, err error) {
	query := url.Values{"cid-codec": {"raw"}, "mhtype": {"sha2-256"}}
	err = send(ctx, n.daemon, "block/put", query, []byte(text), func(answer struct{ Key string }) error {
		key = answer.Key
		return nil
	})
	return key, err
}

func (n *node) Provide(ctx context.Context, text string) error {
	key, err := n.put(ctx, text)
	if err != nil {
		return err
	}
	return n.query(ctx, "routing/provide", url.Values{"arg": {key}}, routing.FinalPeer, func(routing.QueryEvent) {})
}

// cidOf is the version 1, raw, of the multihash sha2-256 of a text.
func cidOf(text string) (string, error) {
	hash, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	return cid.NewCidV1(cid.Raw, hash).String(), err
}

func (n *node) FindProviders(ctx context.Context, text string) (found []string, err error) {
	key, err := cidOf(text)
	if err != nil {
		return nil, err
	}
	err = n.query(ctx, "routing/findprovs", url.Values{"arg": {key}}, routing.Provider, func(event routing.QueryEvent) {
		for _, provider := range event.Responses {
			found = append(found, provider.ID.String())
		}
	})
	return found, err
}

// FindPeer asks again if the peer is found without addresses: of a peer that it is connected to a daemon tells what its address book has at once, which is nothing for the
// moment in which identify puts the peer's own addresses in place of those that led to it.
func (n *node) FindPeer(ctx context.Context, id string) (found []string, err error) {
	for try := 0; try < 4 && err == nil && len(found) == 0; try++ {
		if try > 0 {
			time.Sleep(poll)
		}
		found, err = n.addresses(ctx, id)
	}
	return found, err
}

func (n *node) addresses(ctx context.Context, id string) (found []string, err error) {
	err = n.query(ctx, "routing/findpeer", url.Values{"arg": {id}}, routing.FinalPeer, func(event routing.QueryEvent) {
		for _, peer := range event.Responses {
			for _, addr := range peer.Addrs {
				found = append(found, addr.String())
			}
		}
	})
	return found, err
}

// Closest asks by a peer id, which a multihash is, too.
func (n *node) Closest(ctx context.Context, text string) (found []string, err error) {
	hash, err := multihash.Sum([]byte(text), multihash.SHA2_256, -1)
	if err != nil {
		return nil, err
	}
	err = n.query(ctx, "dht/query", url.Values{"arg": {peer.ID(hash).String()}}, routing.FinalPeer, func(event routing.QueryEvent) {
		found = append(found, event.ID.String())
	})
	return found, err
}
