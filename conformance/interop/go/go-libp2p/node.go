package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/metrics"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/insecure"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/libp2p/go-libp2p/p2p/transport/websocket"
	"github.com/multiformats/go-multiaddr"

	"libp2p-proto.invalid/interop/contract"
	"libp2p-proto.invalid/interop/keys"
)

type node struct {
	host       host.Host
	sub        event.Subscription
	identified chan event.EvtPeerIdentificationCompleted
	refused    chan error
	pushes     *pushes
	events     chan contract.Event
	conn       network.Conn
	identity   *contract.Identity
	dht        *dht.IpfsDHT
	pubsub     *pubsub.PubSub
	topics     map[string]topic
	probes     *autonatv2.AutoNAT
	// slot is the circuit address of a listener that has reserved one.
	slot multiaddr.Multiaddr
	// closers are what was started beside the host.
	closers []io.Closer
}

func start(ctx context.Context, options *contract.Options) (contract.Node, error) {
	key, err := keys.Make(options)
	if err != nil {
		return nil, err
	}
	sent := &pushes{BandwidthCounter: metrics.NewBandwidthCounter(), seen: make(chan struct{}, 1)}
	settings := []libp2p.Option{
		libp2p.Identity(key),
		libp2p.UserAgent("go-libp2p/" + contract.ModuleVersion("github.com/libp2p/go-libp2p")),
		libp2p.ListenAddrStrings(options.Listen...),
		libp2p.BandwidthReporter(sent),
		libp2p.Ping(false),
	}
	settings = append(settings, common(options)...)
	if len(options.Listen) == 0 {
		settings = append(settings, libp2p.NoListenAddrs)
	}
	n := &node{
		pushes: sent, events: make(chan contract.Event, 16), topics: map[string]topic{},
		identified: make(chan event.EvtPeerIdentificationCompleted, 16), refused: make(chan error, 16),
	}
	if options.Circuits() {
		settings = append(settings, libp2p.EnableRelay())
		if options.Uses("dcutr", "dcutr") && !options.OnLoopback() {
			settings = append(settings, libp2p.EnableHolePunching())
		}
		if options.Relay != "" {
			settings = append(settings, libp2p.AddrsFactory(n.withSlot))
		}
	} else {
		settings = append(settings, libp2p.DisableRelay())
	}
	host, err := libp2p.New(settings...)
	if err != nil {
		return nil, err
	}
	n.host = host
	n.sub, err = host.EventBus().Subscribe([]any{
		new(event.EvtPeerIdentificationCompleted), new(event.EvtPeerIdentificationFailed), new(event.EvtPeerProtocolsUpdated),
	})
	if err != nil {
		return nil, errors.Join(err, host.Close())
	}
	go n.follow(options.Dialing)
	if options.Dialing || options.Wants("ping") {
		ping.NewPingService(host)
	}
	if !options.Dialing {
		n.serve(options)
	}
	for _, mount := range []func(context.Context, *contract.Options) error{n.mountKad, n.mountGossip, n.mountReach} {
		if err := mount(ctx, options); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// common are the settings of every host.
func common(options *contract.Options) []libp2p.Option {
	settings := []libp2p.Option{
		libp2p.Transport(tcp.NewTCPTransport),
		libp2p.Transport(websocket.New),
		libp2p.Transport(libp2pquic.NewTransport),
		libp2p.Muxer(yamux.ID, yamux.DefaultTransport),
		libp2p.DisableMetrics(),
		// All peers of a test run come from one host.
		libp2p.ResourceManager(&network.NullResourceManager{}),
	}
	for _, name := range options.Security {
		switch name {
		case "noise":
			settings = append(settings, libp2p.Security(noise.ID, noise.New))
		case "tls":
			settings = append(settings, libp2p.Security(libp2ptls.ID, libp2ptls.New))
		case "plaintext":
			settings = append(settings, libp2p.Security(insecure.ID, insecure.NewWithIdentity))
		}
	}
	return settings
}

func (n *node) serve(options *contract.Options) {
	for service, name := range contract.Protocols {
		if !options.Wants(service) {
			continue
		}
		n.host.SetStreamHandler(protocol.ID(name), func(stream network.Stream) {
			if err := contract.Serve(service, stream); err != nil {
				fmt.Fprintf(os.Stderr, "%s with %s: %v\n", name, stream.Conn().RemotePeer(), err)
			}
		})
	}
}

// follow passes on what go-libp2p learns of its peers, until the node closes.
func (n *node) follow(dialing bool) {
	for news := range n.sub.Out() {
		switch news := news.(type) {
		case event.EvtPeerIdentificationCompleted:
			if dialing {
				n.identified <- news
			} else {
				n.tell(news.Peer)
			}
		case event.EvtPeerIdentificationFailed:
			if dialing {
				n.refused <- news.Reason
			}
		case event.EvtPeerProtocolsUpdated:
			if !dialing {
				n.tell(news.Peer)
			}
		}
	}
}

func (n *node) tell(peer peer.ID) {
	known, err := n.host.Peerstore().GetProtocols(peer)
	if err != nil {
		fmt.Fprintln(os.Stderr, "protocols of", peer, err)
		return
	}
	n.events <- contract.Identified(peer.String(), protocol.ConvertToStrings(known))
}

func (n *node) PeerID() string { return n.host.ID().String() }

func (n *node) Addrs() ([]string, error) {
	addrs, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()})
	return texts(addrs), err
}

func texts(addrs []multiaddr.Multiaddr) []string {
	texts := make([]string, len(addrs))
	for i, addr := range addrs {
		texts[i] = addr.String()
	}
	return texts
}

func (n *node) Connect(ctx context.Context, addr string) (contract.Connected, error) {
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return contract.Connected{}, err
	}
	n.host.Peerstore().AddAddrs(info.ID, info.Addrs, peerstore.PermanentAddrTTL)
	conn, err := n.host.Network().DialPeer(ctx, info.ID)
	if err != nil {
		return contract.Connected{}, err
	}
	n.conn = conn
	state := conn.ConnState()
	return contract.Connected{
		Peer: conn.RemotePeer().String(), Security: string(state.Security), Muxer: string(state.StreamMultiplexer),
		Relayed: conn.Stat().Limited,
	}, nil
}

func (n *node) Ping(ctx context.Context, count int) ([]time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := ping.Ping(limited(ctx), n.host, n.conn.RemotePeer())
	times := make([]time.Duration, 0, count)
	for len(times) < count {
		result, ok := <-results
		switch {
		case !ok:
			return nil, fmt.Errorf("no more pings after %d: %w", len(times), ctx.Err())
		case result.Error != nil:
			return nil, result.Error
		}
		times = append(times, result.RTT)
	}
	return times, nil
}

func (n *node) Identify(ctx context.Context) (contract.Identity, error) {
	if n.identity != nil {
		return *n.identity, nil
	}
	select {
	case news := <-n.identified:
		protocols := protocol.ConvertToStrings(news.Protocols)
		slices.Sort(protocols)
		n.identity = &contract.Identity{
			AgentVersion: news.AgentVersion, ProtocolVersion: news.ProtocolVersion, Protocols: protocols, ListenAddrs: texts(news.ListenAddrs),
		}
		if news.ObservedAddr != nil {
			n.identity.ObservedAddr = news.ObservedAddr.String()
		}
		return *n.identity, nil
	case err := <-n.refused:
		return contract.Identity{}, err
	case <-ctx.Done():
		return contract.Identity{}, ctx.Err()
	}
}

// Push waits until go-libp2p has sent the push and closed its stream; it has no event for that.
func (n *node) Push(ctx context.Context, name string) error {
	identity, err := n.Identify(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(identity.Protocols, identify.IDPush) {
		return errors.New("the peer takes no pushes")
	}
	n.host.SetStreamHandler(protocol.ID(name), func(stream network.Stream) { stream.Reset() })
	select {
	case <-n.pushes.seen:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		open := slices.ContainsFunc(n.conn.GetStreams(), func(stream network.Stream) bool {
			return stream.Protocol() == identify.IDPush
		})
		if !open {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (n *node) Open(ctx context.Context, name string) (contract.Stream, error) {
	return n.host.NewStream(limited(ctx), n.conn.RemotePeer(), protocol.ID(name))
}

func (n *node) Alive() error {
	if n.conn.IsClosed() {
		return errors.New("the connection is closed")
	}
	return nil
}

func (n *node) Events() <-chan contract.Event { return n.events }

func (n *node) Close() error {
	var errs []error
	for _, closer := range slices.Backward(n.closers) {
		errs = append(errs, closer.Close())
	}
	return errors.Join(append(errs, n.host.Close(), n.sub.Close())...)
}

// pushes counts bytes as every reporter does, and notices the first ones of an identify push.
type pushes struct {
	*metrics.BandwidthCounter
	seen chan struct{}
}

func (p *pushes) LogSentMessageStream(size int64, name protocol.ID, peer peer.ID) {
	p.BandwidthCounter.LogSentMessageStream(size, name, peer)
	if name == identify.IDPush {
		select {
		case p.seen <- struct{}{}:
		default:
		}
	}
}
