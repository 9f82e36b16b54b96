// Package contract is the command line that every interoperability peer obeys, for the peers written in Go.
//
// An implementation of libp2p is put behind [Node]; [Main] does the rest: it reads the command line, prints the JSON lines, runs the actions
// in order and chooses the exit code.
package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Exit codes.
const (
	codeOK          = 0
	codeFailed      = 1
	codeUnsupported = 2
	codeUsage       = 64
)

// Implementation is one implementation of libp2p behind the command line.
type Implementation struct {
	Name    string
	Version string
	// What it supports; the first security protocols and muxers are its default.
	Services, Keys, Transports, Security, Muxers []string
	// Kad is the one protocol id of Kademlia that it can have, if it can't have any.
	Kad string
	// Start makes a node. A listener is bound to all its addresses when this returns; a dialer listens nowhere.
	Start func(ctx context.Context, options *Options) (Node, error)
}

// Node is a running peer.
type Node interface {
	PeerID() string
	// Addrs are the addresses that it listens on, complete with its peer id.
	Addrs() ([]string, error)
	// Connect connects to an address that ends in a peer id.
	Connect(ctx context.Context, addr string) (Connected, error)
	// Ping answers the times of count round trips on one stream.
	Ping(ctx context.Context, count int) ([]time.Duration, error)
	// Identify answers what the connected peer's identify message said.
	Identify(ctx context.Context) (Identity, error)
	// Push starts to handle a protocol and pushes the change to the connected peer.
	Push(ctx context.Context, protocol string) error
	// Open opens a stream to the connected peer.
	Open(ctx context.Context, protocol string) (Stream, error)
	// Alive says why the connection is not open any more.
	Alive() error
	// Events are the event lines of a listener.
	Events() <-chan Event
	Close() error
}

// Router is a node with Kademlia. A text stands for the multihash sha2-256 of itself.
type Router interface {
	// Put stores a value under a whole key at the nearest peers, the connected one among them.
	Put(ctx context.Context, key, value string) error
	Get(ctx context.Context, key string) (string, error)
	Provide(ctx context.Context, text string) error
	FindProviders(ctx context.Context, text string) ([]string, error)
	FindPeer(ctx context.Context, id string) ([]string, error)
	Closest(ctx context.Context, text string) ([]string, error)
}

// PubSub is a node that joins topics.
type PubSub interface {
	Join(ctx context.Context, topic string) (Topic, error)
}

// Topic is one that was joined.
type Topic interface {
	// Knows says whether a peer is known to have joined, too.
	Knows(ctx context.Context, peer string) (bool, error)
	Publish(ctx context.Context, data []byte) error
	// Next is the next message of somebody else.
	Next(ctx context.Context) (Message, error)
}

// Message is one of a topic.
type Message struct {
	From string
	Data []byte
}

// Reserver is a node that is reached through relays.
type Reserver interface {
	// Reserve asks the connected peer for a slot.
	Reserve(ctx context.Context) (Reservation, error)
}

// Reservation is a slot at a relay.
type Reservation struct {
	Addr   string
	Expire time.Time
	Limit  time.Duration
	Bytes  uint64
}

// Puncher is a node that makes a direct connection out of a relayed one.
type Puncher interface {
	// Direct waits for one to the connected peer.
	Direct(ctx context.Context) error
}

// Prober is a node that asks the connected peer whether it can be reached, by version 1 or 2 of AutoNAT.
type Prober interface {
	Reachability(ctx context.Context, version int) (string, error)
}

// Stream is a negotiated stream.
type Stream interface {
	io.ReadWriteCloser
	CloseWrite() error
	Reset() error
	SetDeadline(time.Time) error
}

// Connected says what a connection turned out to be; empty where the implementation doesn't tell.
type Connected struct {
	Peer, Security, Muxer string
	Relayed               bool
}

// Identity is what an identify message told.
type Identity struct {
	AgentVersion    string   `json:"agentVersion"`
	ProtocolVersion string   `json:"protocolVersion"`
	Protocols       []string `json:"protocols"`
	ListenAddrs     []string `json:"listenAddrs"`
	ObservedAddr    string   `json:"observedAddr,omitempty"`
}

// Event is news of a listener: by its name, about a peer, and for [Identified] with the peer's protocols.
type Event struct {
	Name      string
	Peer      string
	Protocols []string
}

// Identified is the news that a peer's protocols became known or changed.
func Identified(peer string, protocols []string) Event {
	return Event{Name: "identify-push", Peer: peer, Protocols: slices.Sorted(slices.Values(protocols))}
}

// Unsupported is the error of what an implementation does not have.
func Unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errors.ErrUnsupported, fmt.Sprintf(format, args...))
}

// ModuleVersion is the version of a module that this program was built with.
func ModuleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return strings.TrimPrefix(module.Version, "v")
			}
		}
	}
	return "unknown"
}

// Main runs the command line for one implementation.
func Main(implementation *Implementation) {
	options, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		fmt.Fprintln(os.Stderr, "usage: PEER listen [options] | PEER dial ADDR --do ACTION [--do ACTION ...] [options]")
		os.Exit(codeUsage)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	ctx, expire := context.WithTimeoutCause(ctx, options.Timeout, errors.New("the time-out ran out"))
	defer expire()
	code := codeFailed
	if options.Dialing {
		code = dial(ctx, implementation, options)
	} else {
		code = listen(ctx, implementation, options)
	}
	expire()
	cancel()
	os.Exit(code)
}

// listen listens until a signal comes or the time runs out.
func listen(ctx context.Context, implementation *Implementation, options *Options) int {
	if what := implementation.lacks(options); what != "" {
		line(object{{"event", "unsupported"}, {"what", what}})
		return codeUnsupported
	}
	options.fill(implementation)
	node, err := implementation.Start(ctx, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot listen:", err)
		return codeFailed
	}
	defer node.Close()
	addrs, err := node.Addrs()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot listen:", err)
		return codeFailed
	}
	// Those through a relay come last.
	slices.SortStableFunc(addrs, func(a, b string) int {
		return strings.Count(a, circuit) - strings.Count(b, circuit)
	})
	if options.Wants("gossip") {
		if err := acknowledge(ctx, node, options.Topics); err != nil {
			fmt.Fprintln(os.Stderr, "cannot join:", err)
			return codeFailed
		}
	}
	for _, peer := range options.Peers {
		if _, err := node.Connect(ctx, peer); err != nil {
			fmt.Fprintln(os.Stderr, "cannot connect:", err)
			return codeFailed
		}
	}
	news := object{
		{"event", "listening"}, {"peerId", node.PeerID()}, {"addrs", addrs},
		{"impl", implementation.Name}, {"version", implementation.Version}, {"services", options.Services},
	}
	if led, ok := node.(interface{ API() string }); ok {
		news = append(news, field{"api", led.API()})
	}
	line(news)
	for {
		select {
		case <-ctx.Done():
			return codeOK
		case news := <-node.Events():
			event := object{{"event", news.Name}, {"peer", news.Peer}}
			if news.Protocols != nil {
				event = append(event, field{"protocols", news.Protocols})
			}
			line(event)
		}
	}
}

// object is a JSON object with its fields in order.
type object []field

type field struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for i, field := range o {
		text.WriteByte("{,"[min(i, 1)])
		if err := encoder.Encode(field.name); err != nil {
			return nil, err
		}
		text.WriteByte(':')
		if err := encoder.Encode(field.value); err != nil {
			return nil, err
		}
	}
	text.WriteByte('}')
	return text.Bytes(), nil
}

var lines sync.Mutex

// line prints one line of JSON; standard output is not buffered.
func line(fields object) {
	lines.Lock()
	defer lines.Unlock()
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(fields); err != nil {
		fmt.Fprintln(os.Stderr, "cannot write to standard output:", err)
	}
}
