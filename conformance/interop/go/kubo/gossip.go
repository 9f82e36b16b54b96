package main

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/multiformats/go-multibase"

	"libp2p-proto.invalid/interop/contract"
)

// topic is one that the daemon has joined on our behalf.
type topic struct {
	*node
	// name is multibase text, as all that is not for sure text in the daemon's interface.
	name     url.Values
	messages chan contract.Message
	ended    chan error
}

// Join joins once, for as long as the peer runs.
func (n *node) Join(ctx context.Context, name string) (contract.Topic, error) {
	if known, ok := n.topics[name]; ok {
		return known, nil
	}
	encoded, err := multibase.Encode(multibase.Base64url, []byte(name))
	if err != nil {
		return nil, err
	}
	t := &topic{n, url.Values{"arg": {encoded}}, make(chan contract.Message, 1024), make(chan error, 1)}
	go func() {
		type message struct{ From, Data string }
		t.ended <- ask(ctx, n.daemon, "pubsub/sub", t.name, func(answer message) error {
			_, data, err := multibase.Decode(answer.Data)
			if err == nil && answer.From != n.self.ID {
				t.messages <- contract.Message{From: answer.From, Data: data}
			}
			return err
		})
	}()
	// The subscription has no other sign that it stands.
	for {
		joined := false
		err := ask(ctx, n.daemon, "pubsub/ls", nil, func(answer struct{ Strings []string }) error {
			joined = slices.Contains(answer.Strings, encoded)
			return nil
		})
		if err != nil {
			return nil, err
		}
		if joined {
			n.topics[name] = t
			return t, nil
		}
		select {
		case err := <-t.ended:
			return nil, errors.Join(errors.New("the subscription ended"), err)
		case <-time.After(poll):
		}
	}
}

func (t *topic) Knows(ctx context.Context, peer string) (known bool, err error) {
	err = ask(ctx, t.daemon, "pubsub/peers", t.name, func(answer struct{ Strings []string }) error {
		known = slices.Contains(answer.Strings, peer)
		return nil
	})
	return known, err
}

func (t *topic) Publish(ctx context.Context, data []byte) error {
	return send(ctx, t.daemon, "pubsub/pub", t.name, data, func(struct{}) error { return nil })
}

func (t *topic) Next(ctx context.Context) (contract.Message, error) {
	select {
	case message := <-t.messages:
		return message, nil
	case err := <-t.ended:
		return contract.Message{}, errors.Join(errors.New("the subscription ended"), err)
	case <-ctx.Done():
		return contract.Message{}, ctx.Err()
	}
}
