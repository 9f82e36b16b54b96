package contract

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are those of both sub-commands.
type Options struct {
	Dialing bool
	// Addr and Actions are those of a dialer.
	Addr    string
	Actions []string
	// Listen are the addresses to listen on; none for a dialer.
	Listen []string
	// Security and Muxers are what is offered, in this order.
	Security, Muxers []string
	Key              string
	// Seed is the secret of a deterministic Ed25519 identity, if asked for.
	Seed []byte
	// Services are those that a listener mounts.
	Services []string
	// Relay is where a listener reserves a slot, if anywhere.
	Relay string
	// Peers are those that a listener connects to.
	Peers []string
	// Topics are those that a listener joins.
	Topics []string
	// Kad is the protocol id of Kademlia.
	Kad     string
	Timeout time.Duration

	transports []string
}

// Everything that the contract knows, whether or not an implementation has it.
var (
	knownTransports = []string{"tcp", "ws", "quic"}
	knownSecurity   = []string{"noise", "tls", "plaintext"}
	knownMuxers     = []string{"yamux", "mplex"}
	knownKeys       = []string{"ed25519", "secp256k1", "ecdsa", "rsa"}
)

// onRequest are the services that a listener mounts only if it is asked to.
var onRequest = []string{"dcutr", "autonat", "autonat2", "rendezvous", "mdns"}

// needsListener are the beginnings of actions for which a dialer has to listen too.
var needsListener = []string{"kad-", "rendezvous-register", "autonat", "dcutr", "relay-reserve"}

var loopback = map[string]string{
	"tcp":  "/ip4/127.0.0.1/tcp/0",
	"ws":   "/ip4/127.0.0.1/tcp/0/ws",
	"quic": "/ip4/127.0.0.1/udp/0/quic-v1",
}

// transportOf finds the transport of an address in its form.
var transportOf = map[string]*regexp.Regexp{
	"tcp":  regexp.MustCompile(`^/(ip4|ip6|dns|dns4|dns6)/[^/]+/tcp/\d+(/p2p/[^/]+)?$`),
	"ws":   regexp.MustCompile(`^/(ip4|ip6|dns|dns4|dns6)/[^/]+/tcp/\d+/ws(/p2p/[^/]+)?$`),
	"quic": regexp.MustCompile(`^/(ip4|ip6|dns|dns4|dns6)/[^/]+/udp/\d+/quic-v1(/p2p/[^/]+)?$`),
}

func parse(args []string) (*Options, error) {
	if len(args) == 0 || (args[0] != "listen" && args[0] != "dial") {
		return nil, fmt.Errorf("unknown sub-command %q", strings.Join(args[:min(len(args), 1)], ""))
	}
	o := &Options{Dialing: args[0] == "dial", Key: "ed25519", Timeout: 300 * time.Second}
	if o.Dialing {
		o.Timeout = 30 * time.Second
	}
	for rest := args[1:]; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "--json" {
			continue
		}
		if !strings.HasPrefix(name, "--") {
			if !o.Dialing || o.Addr != "" {
				return nil, fmt.Errorf("too many arguments: %q", name)
			}
			o.Addr = name
			continue
		}
		name, value, ok := strings.Cut(name, "=")
		if !ok {
			if len(rest) == 0 {
				return nil, fmt.Errorf("%s needs a value", name)
			}
			value, rest = rest[0], rest[1:]
		}
		if err := o.set(name, value); err != nil {
			return nil, err
		}
	}
	switch {
	case o.Dialing && o.Addr == "":
		return nil, fmt.Errorf("no address")
	case o.Dialing && len(o.Actions) == 0:
		return nil, fmt.Errorf("no action")
	case o.Dialing && o.Does(needsListener...) && len(o.Listen) > 0:
	case o.Dialing && o.Does(needsListener...):
		o.Listen = []string{loopback["tcp"]}
	case o.Dialing:
		o.Listen = nil
	case len(o.Listen) == 0 && len(o.transports) == 0:
		o.Listen = []string{loopback["tcp"]}
	case len(o.Listen) == 0:
		for _, transport := range o.transports {
			o.Listen = append(o.Listen, loopback[transport])
		}
	}
	return o, nil
}

func (o *Options) set(name, value string) error {
	choose := func(list *[]string, known []string) error {
		if !slices.Contains(known, value) {
			return fmt.Errorf("%s: unknown value %q", name, value)
		}
		*list = append(*list, value)
		return nil
	}
	switch name {
	case "--do":
		o.Actions = append(o.Actions, value)
	case "--transport":
		return choose(&o.transports, knownTransports)
	case "--listen":
		o.Listen = append(o.Listen, value)
	case "--security":
		return choose(&o.Security, knownSecurity)
	case "--muxer":
		return choose(&o.Muxers, knownMuxers)
	case "--key":
		o.Key = value
		return choose(new([]string), knownKeys)
	case "--seed":
		number, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return fmt.Errorf("%s: %q is no 32-bit number", name, value)
		}
		o.Seed = binary.LittleEndian.AppendUint32(nil, uint32(number))
		o.Seed = append(o.Seed, make([]byte, 28)...)
	case "--services":
		o.Services = slices.DeleteFunc(strings.Split(value, ","), func(name string) bool { return name == "" })
	case "--relay":
		o.Relay = value
	case "--peer":
		o.Peers = append(o.Peers, value)
	case "--topic":
		o.Topics = append(o.Topics, value)
	case "--kad-protocol":
		if !strings.HasPrefix(value, "/") {
			return fmt.Errorf("%s: %q is no protocol id", name, value)
		}
		o.Kad = value
	case "--timeout":
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil || !(seconds >= 0 && seconds <= 1e9) {
			return fmt.Errorf("%s: %q is no time-out", name, value)
		}
		o.Timeout = time.Duration(seconds * float64(time.Second))
	default:
		return fmt.Errorf("unknown option %s", name)
	}
	return nil
}

// lacks names the first thing asked for that an implementation does not have.
func (i *Implementation) lacks(o *Options) string {
	missing := func(asked, have []string, what string) string {
		for _, name := range asked {
			if !slices.Contains(have, name) {
				return what + " " + name
			}
		}
		return ""
	}
	transport := func(addr string) bool {
		// A circuit address begins with that of the relay.
		addr, _, circuit := strings.Cut(addr, circuit)
		if circuit && !slices.Contains(i.Services, "relay") {
			return false
		}
		for _, name := range i.Transports {
			if transportOf[name].MatchString(addr) {
				return true
			}
		}
		return false
	}
	addrs := o.Listen
	if o.Dialing {
		addrs = []string{o.Addr}
	}
	for _, addr := range addrs {
		if !transport(addr) {
			return "address " + addr
		}
	}
	// A program that can't report pushes accepts the name all the same.
	services := slices.DeleteFunc(slices.Clone(o.Services), func(name string) bool { return name == "push" })
	for _, what := range []string{
		missing(o.Security, i.Security, "security"),
		missing(o.Muxers, i.Muxers, "muxer"),
		missing([]string{o.Key}, i.Keys, "key"),
		missing(services, i.Services, "service"),
	} {
		if what != "" {
			return what
		}
	}
	if o.Relay != "" && !slices.Contains(i.Services, "relay") {
		return "relay client"
	}
	if o.Kad != "" && i.Kad != "" && o.Kad != i.Kad {
		return "Kademlia protocol " + o.Kad
	}
	return ""
}

// fill puts the defaults in the place of what was not asked for.
func (o *Options) fill(i *Implementation) {
	if len(o.Security) == 0 {
		o.Security = slices.DeleteFunc(slices.Clone(i.Security), func(name string) bool { return name == "plaintext" })
	}
	if len(o.Muxers) == 0 {
		o.Muxers = i.Muxers[:1]
	}
	asked := o.Services
	o.Services = slices.DeleteFunc(slices.Clone(i.Services), func(name string) bool {
		if asked == nil {
			return slices.Contains(onRequest, name)
		}
		return !slices.Contains(asked, name)
	})
	if len(o.Topics) == 0 {
		o.Topics = []string{"interop"}
	}
	if o.Kad == "" {
		o.Kad = cmp.Or(i.Kad, "/interop/kad/1.0.0")
	}
}

// circuit stands in an address between that of a relay and the peer behind it.
const circuit = "/p2p-circuit"

// Circuits says whether connections through a relay are needed.
func (o *Options) Circuits() bool {
	return o.Relay != "" || strings.Contains(o.Addr, circuit)
}

// Does says whether one of a dialer's actions begins like one of these.
func (o *Options) Does(beginnings ...string) bool {
	return slices.ContainsFunc(o.Actions, func(action string) bool {
		return slices.ContainsFunc(beginnings, func(beginning string) bool { return strings.HasPrefix(action, beginning) })
	})
}

// Uses says whether a node needs a service: a listener by its name, a dialer for an action that begins so.
func (o *Options) Uses(service, beginning string) bool {
	if o.Dialing {
		return o.Does(beginning)
	}
	return o.Wants(service)
}

// OnLoopback says whether everything that is listened on is on this machine.
func (o *Options) OnLoopback() bool {
	return !slices.ContainsFunc(o.Listen, func(addr string) bool {
		return !strings.HasPrefix(addr, "/ip4/127.") && !strings.HasPrefix(addr, "/ip6/::1/")
	})
}

// Wants says whether a listener shall mount a service; a dialer mounts what identifies it.
func (o *Options) Wants(service string) bool {
	return slices.Contains(o.Services, service)
}
