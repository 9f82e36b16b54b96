package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"libp2p-proto.invalid/interop/contract"
)

const (
	// poll is the pause between questions to the daemon about what it has no event for.
	poll = 50 * time.Millisecond
	// patience is how long a question to the daemon may take when nothing else bounds it.
	patience = 5 * time.Second
)

type node struct {
	daemon *daemon
	self   identity
	remote string
	events chan contract.Event
	topics map[string]*topic
	// slot is the circuit address of a listener that has reserved one.
	slot string
	done context.CancelFunc
}

// identity is the answer of `ipfs id`.
type identity struct {
	ID, AgentVersion     string
	Addresses, Protocols []string
}

func start(ctx context.Context, options *contract.Options) (contract.Node, error) {
	daemon, err := launch(ctx, options)
	if err != nil {
		return nil, err
	}
	ctx, done := context.WithCancel(ctx)
	n := &node{daemon: daemon, events: make(chan contract.Event), topics: map[string]*topic{}, done: done}
	if n.self, err = n.id(ctx, ""); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	if options.Relay != "" {
		if err := n.reserved(ctx, options); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	if !options.Dialing {
		go n.follow(ctx, options.Wants("mdns"))
	}
	return n, nil
}

// id asks for the identity of a peer, or for the daemon's own.
func (n *node) id(ctx context.Context, peer string) (found identity, err error) {
	query := url.Values{}
	if peer != "" {
		query.Set("arg", peer)
	}
	err = ask(ctx, n.daemon, "id", query, func(answer identity) error {
		found = answer
		return nil
	})
	return found, err
}

func (n *node) PeerID() string { return n.self.ID }

// API is where the daemon listens for commands: `ipfs --api`.
func (n *node) API() string { return n.daemon.addr }

func (n *node) Addrs() ([]string, error) {
	if len(n.self.Addresses) == 0 {
		return nil, errors.New("the daemon tells no address")
	}
	addrs := slices.Clone(n.self.Addresses)
	if n.slot != "" {
		addrs = append(addrs, n.slot)
	}
	return addrs, nil
}

func (n *node) Connect(ctx context.Context, addr string) (contract.Connected, error) {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return contract.Connected{}, err
	}
	n.remote = info.ID.String()
	err = ask(ctx, n.daemon, "swarm/connect", url.Values{"arg": {addr}}, func(struct{ Strings []string }) error { return nil })
	return contract.Connected{Peer: n.remote, Relayed: strings.Contains(addr, "/p2p-circuit")}, err
}

func (n *node) Ping(ctx context.Context, count int) ([]time.Duration, error) {
	type line struct {
		Success bool
		Time    time.Duration
		Text    string
	}
	var times []time.Duration
	query := url.Values{"arg": {n.remote}, "count": {strconv.Itoa(count)}}
	err := ask(ctx, n.daemon, "ping", query, func(answer line) error {
		switch {
		case !answer.Success:
			return errors.New(answer.Text)
		case answer.Time > 0:
			times = append(times, answer.Time)
		}
		return nil
	})
	if err == nil && len(times) != count {
		err = fmt.Errorf("%d of %d pings came back", len(times), count)
	}
	return times, err
}

func (n *node) Identify(ctx context.Context) (contract.Identity, error) {
	found, err := n.id(ctx, n.remote)
	if err == nil && found.ID != n.remote {
		err = fmt.Errorf("the message is from %q", found.ID)
	}
	slices.Sort(found.Protocols)
	return contract.Identity{AgentVersion: found.AgentVersion, Protocols: found.Protocols, ListenAddrs: found.Addresses}, err
}

func (n *node) Push(context.Context, string) error {
	return contract.Unsupported("a kubo daemon mounts no protocol while it runs")
}

func (n *node) Open(context.Context, string) (contract.Stream, error) {
	return nil, contract.Unsupported("a kubo daemon opens no stream that can be half-closed")
}

func (n *node) Alive() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	peers, err := n.peers(ctx)
	if err == nil && !slices.Contains(peers, n.remote) {
		err = errors.New("the connection is closed")
	}
	return err
}

func (n *node) peers(ctx context.Context) (ids []string, err error) {
	type answer struct{ Peers []struct{ Peer string } }
	err = ask(ctx, n.daemon, "swarm/peers", nil, func(answer answer) error {
		for _, peer := range answer.Peers {
			ids = append(ids, peer.Peer)
		}
		return nil
	})
	return ids, err
}

// follow asks again and again whom the daemon is connected to and what they speak: it has no events.
//
// With mDNS a daemon connects to whom it discovers.
func (n *node) follow(ctx context.Context, discovers bool) {
	known := map[string]string{}
	for {
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return
		}
		peers, err := n.peers(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			continue
		}
		for _, peer := range peers {
			found, err := n.id(ctx, peer)
			slices.Sort(found.Protocols)
			protocols := strings.Join(found.Protocols, " ")
			if err != nil || protocols == "" || protocols == known[peer] {
				continue
			}
			if _, old := known[peer]; discovers && !old && !n.tell(ctx, contract.Event{Name: "discovered", Peer: peer}) {
				return
			}
			known[peer] = protocols
			if !n.tell(ctx, contract.Identified(peer, found.Protocols)) {
				return
			}
		}
	}
}

// tell hands over an event; it says whether somebody still listens.
func (n *node) tell(ctx context.Context, event contract.Event) bool {
	select {
	case n.events <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *node) Events() <-chan contract.Event { return n.events }

func (n *node) Close() error {
	n.done()
	return n.daemon.stop()
}
