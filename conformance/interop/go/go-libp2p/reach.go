package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/multiformats/go-multiaddr"

	"libp2p-proto.invalid/interop/contract"
)

const (
	// slots is how many reservations and circuits a relay allows: all peers come from one host.
	slots = 1024
	// look is the pause between two looks at what go-libp2p has no event for.
	look = 10 * time.Millisecond
)

// limited allows streams on a connection through a relay.
func limited(ctx context.Context) context.Context {
	return network.WithAllowLimitedConn(ctx, "interop")
}

type closing func() error

func (c closing) Close() error { return c() }

// mountReach starts what has to do with NAT, and reserves a slot where a listener is told to.
func (n *node) mountReach(ctx context.Context, options *contract.Options) error {
	if !options.Dialing && options.Wants("relay") {
		if err := n.mountRelay(); err != nil {
			return err
		}
	}
	if options.Uses("dcutr", "dcutr") {
		if err := n.mountHolePunching(options); err != nil {
			return err
		}
	}
	if !options.Dialing && options.Wants("autonat") {
		dialer, err := libp2p.New(append(common(options), libp2p.NoListenAddrs, libp2p.DisableRelay())...)
		if err != nil {
			return err
		}
		service, err := autonat.New(n.host, autonat.EnableService(dialer.Network()), autonat.WithThrottling(0, time.Minute))
		if err != nil {
			return errors.Join(err, dialer.Close())
		}
		n.closers = append(n.closers, dialer, service)
	}
	if options.Uses("autonat2", "autonat2") {
		dialer, err := libp2p.New(append(common(options), libp2p.NoListenAddrs, libp2p.DisableRelay())...)
		if err != nil {
			return err
		}
		n.closers = append(n.closers, dialer)
		n.probes, err = autonatv2.New(dialer, autonatv2.AllowPrivateAddrs, autonatv2.WithServerRateLimit(slots, slots, slots, slots))
		if err == nil {
			err = n.probes.Start(n.host)
		}
		if err != nil {
			return err
		}
		n.closers = append(n.closers, closing(func() error { n.probes.Close(); return nil }))
	}
	if !options.Dialing && options.Wants("mdns") {
		service := mdns.NewMdnsService(n.host, "", found{n})
		if err := service.Start(); err != nil {
			return err
		}
		n.closers = append(n.closers, service)
	}
	if options.Relay != "" {
		return n.reserveAt(ctx, options.Relay)
	}
	return nil
}

func (n *node) mountRelay() error {
	resources := relay.DefaultResources()
	resources.MaxReservations, resources.MaxReservationsPerIP, resources.MaxReservationsPerASN = slots, slots, slots
	resources.MaxCircuits = slots
	service, err := relay.New(
		n.host, relay.WithResources(resources), relay.WithReservationAddressFilter(func(multiaddr.Multiaddr) bool { return true }),
	)
	if err == nil {
		n.closers = append(n.closers, service)
	}
	return err
}

// mountHolePunching does it for loopback addresses, for which go-libp2p by itself would wait for a public one, and tells what came of it anywhere.
func (n *node) mountHolePunching(options *contract.Options) error {
	if options.OnLoopback() {
		if err := n.punchOnLoopback(); err != nil {
			return err
		}
	}
	n.host.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, conn network.Conn) {
		relayed := func(conn network.Conn) bool { return conn.Stat().Limited }
		for _, other := range n.host.Network().ConnsToPeer(conn.RemotePeer()) {
			if !options.Dialing && relayed(other) && !relayed(conn) {
				n.events <- contract.Event{Name: "direct", Peer: conn.RemotePeer().String()}
				return
			}
		}
	}})
	return nil
}

func (n *node) punchOnLoopback() error {
	identifies, ok := n.host.(interface{ IDService() identify.IDService })
	if !ok {
		return errors.New("the host does not tell its identify service")
	}
	addrs := func() []multiaddr.Multiaddr {
		all, err := n.host.Network().InterfaceListenAddresses()
		if err != nil {
			return nil
		}
		return direct(all)
	}
	service, err := holepunch.NewService(n.host, identifies.IDService(), addrs)
	if err != nil {
		return err
	}
	n.closers = append(n.closers, service)
	return nil
}

// direct are those addresses that lead through no relay.
func direct(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	return multiaddr.FilterAddrs(addrs, func(addr multiaddr.Multiaddr) bool {
		_, err := addr.ValueForProtocol(multiaddr.P_CIRCUIT)
		return err != nil
	})
}

func (n *node) withSlot(addrs []multiaddr.Multiaddr) []multiaddr.Multiaddr {
	addrs = direct(addrs)
	if n.slot != nil {
		addrs = append(addrs, n.slot)
	}
	return addrs
}

// reserveAt reserves a slot at a relay and announces it.
func (n *node) reserveAt(ctx context.Context, addr string) error {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return err
	}
	if err := n.host.Connect(ctx, *info); err != nil {
		return err
	}
	if _, err := client.Reserve(ctx, n.host, *info); err != nil {
		return err
	}
	// A relay without a public address tells none: it is where we found it.
	n.slot, err = multiaddr.NewMultiaddr(addr + "/p2p-circuit")
	if err != nil {
		return err
	}
	n.events <- contract.Event{Name: "reservation", Peer: info.ID.String()}
	return nil
}

func (n *node) Reserve(ctx context.Context) (contract.Reservation, error) {
	remote := n.conn.RemotePeer()
	slot, err := client.Reserve(ctx, n.host, peer.AddrInfo{ID: remote})
	if err != nil {
		return contract.Reservation{}, err
	}
	return contract.Reservation{
		Addr:   fmt.Sprintf("%s/p2p/%s/p2p-circuit/p2p/%s", n.conn.RemoteMultiaddr(), remote, n.host.ID()),
		Expire: slot.Expiration, Limit: slot.LimitDuration, Bytes: slot.LimitData,
	}, nil
}

func (n *node) Direct(ctx context.Context) error {
	for {
		for _, conn := range n.host.Network().ConnsToPeer(n.conn.RemotePeer()) {
			if !conn.Stat().Limited {
				return nil
			}
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return errors.New("no direct connection came")
		}
	}
}

func (n *node) Reachability(ctx context.Context, version int) (string, error) {
	if version == 1 {
		err := autonat.NewAutoNATClient(n.host, nil, nil).DialBack(ctx, n.conn.RemotePeer())
		switch {
		case err == nil:
			return "public", nil
		case autonat.IsDialError(err):
			return "private", nil
		default:
			return "unknown", err
		}
	}
	requests := make([]autonatv2.Request, 0)
	for _, addr := range n.host.Addrs() {
		requests = append(requests, autonatv2.Request{Addr: addr, SendDialData: true})
	}
	for {
		result, err := n.probes.GetReachability(ctx, requests)
		switch {
		// It takes the peer for a server once it is identified.
		case errors.Is(err, autonatv2.ErrNoPeers) && ctx.Err() == nil:
			time.Sleep(look)
		case err != nil:
			return "unknown", err
		case result.AllAddrsRefused:
			return "unknown", errors.New("the server refused all addresses")
		case result.Reachability == network.ReachabilityPublic:
			return "public", nil
		case result.Reachability == network.ReachabilityPrivate:
			return "private", nil
		default:
			return "unknown", errors.New("no verdict")
		}
	}
}

// found tells whom mDNS has found.
type found struct{ *node }

func (f found) HandlePeerFound(info peer.AddrInfo) {
	f.events <- contract.Event{Name: "discovered", Peer: info.ID.String()}
}
