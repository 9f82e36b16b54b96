package main

import (
	"context"
	"slices"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"libp2p-proto.invalid/interop/contract"
)

func (n *node) mountGossip(ctx context.Context, options *contract.Options) (err error) {
	if options.Uses("gossip", "gossip") {
		n.pubsub, err = pubsub.NewGossipSub(ctx, n.host)
	}
	return err
}

type topic struct {
	*pubsub.Topic
	sub  *pubsub.Subscription
	self peer.ID
}

func (n *node) Join(_ context.Context, name string) (contract.Topic, error) {
	if known, ok := n.topics[name]; ok {
		return known, nil
	}
	joined, err := n.pubsub.Join(name)
	if err != nil {
		return nil, err
	}
	sub, err := joined.Subscribe(pubsub.WithBufferSize(1024))
	if err == nil {
		n.topics[name] = topic{joined, sub, n.host.ID()}
	}
	return n.topics[name], err
}

func (t topic) Knows(_ context.Context, text string) (bool, error) {
	id, err := peer.Decode(text)
	return slices.Contains(t.ListPeers(), id), err
}

func (t topic) Publish(ctx context.Context, data []byte) error { return t.Topic.Publish(ctx, data) }

func (t topic) Next(ctx context.Context) (contract.Message, error) {
	for {
		message, err := t.sub.Next(ctx)
		if err != nil {
			return contract.Message{}, err
		}
		if from := message.GetFrom(); from != t.self {
			return contract.Message{From: from.String(), Data: message.GetData()}, nil
		}
	}
}
