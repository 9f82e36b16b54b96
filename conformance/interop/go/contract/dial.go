package contract

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dial connects and runs the actions in order.
func dial(ctx context.Context, implementation *Implementation, options *Options) int {
	if what := implementation.lacks(options); what != "" {
		return report("connect", nil, Unsupported("%s", what))
	}
	options.fill(implementation)
	node, err := implementation.Start(ctx, options)
	if err != nil {
		return report("connect", nil, reason(ctx, err))
	}
	defer node.Close()
	begun := time.Now()
	connected, err := node.Connect(ctx, options.Addr)
	if err != nil {
		return report("connect", nil, reason(ctx, err))
	}
	report("connect", object{
		{"ms", millis(time.Since(begun))}, {"peerId", connected.Peer}, {"security", orNull(connected.Security)},
		{"muxer", orNull(connected.Muxer)}, {"relayed", connected.Relayed},
	}, nil)
	code := codeOK
	for _, action := range options.Actions {
		fields, err := act(ctx, node, implementation.Name, connected.Peer, action)
		switch report(action, fields, reason(ctx, err)) {
		case codeFailed:
			code = codeFailed
		case codeUnsupported:
			if code == codeOK {
				code = codeUnsupported
			}
		}
	}
	return code
}

// reason says that the time ran out where that is why something failed.
func reason(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%w (%v)", context.Cause(ctx), err)
	}
	return err
}

// report prints the line of an action and gives the exit code that it alone would give.
func report(action string, fields object, err error) int {
	start := object{{"do", action}, {"ok", err == nil}}
	switch {
	case err == nil:
		line(append(start, fields...))
		return codeOK
	case errors.Is(err, errors.ErrUnsupported):
		line(append(start, field{"unsupported", true}, field{"error", err.Error()}))
		return codeUnsupported
	default:
		line(append(start, field{"error", err.Error()}))
		return codeFailed
	}
}

// act does one action; the object holds the extra fields of its line.
func act(ctx context.Context, node Node, name, connected, action string) (object, error) {
	verb, text, given := strings.Cut(action, ":")
	switch verb {
	case "ping":
		count := 3
		if given {
			var err error
			if count, err = strconv.Atoi(text); err != nil || count < 0 {
				return nil, fmt.Errorf("%q is no number", text)
			}
		}
		times, err := node.Ping(ctx, count)
		if err != nil {
			return nil, err
		}
		rtts := make([]float64, len(times))
		for i, rtt := range times {
			rtts[i] = millis(rtt)
		}
		return object{{"rttMs", rtts}}, nil
	case "identify":
		identity, err := node.Identify(ctx)
		if err == nil && identity.AgentVersion == "" {
			err = errors.New("the agent version is empty")
		}
		return object{
			{"agentVersion", identity.AgentVersion}, {"protocolVersion", identity.ProtocolVersion},
			{"protocols", identity.Protocols}, {"listenAddrs", identity.ListenAddrs},
			{"observedAddr", orNull(identity.ObservedAddr)},
		}, err
	case "push":
		if !strings.HasPrefix(text, "/") {
			return nil, fmt.Errorf("%q is no protocol name", text)
		}
		return nil, node.Push(ctx, text)
	case "perf", "echo", "reqresp", "fetch":
		return useStream(ctx, node, verb, text)
	case "wait":
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, err
		}
		select {
		case <-time.After(time.Duration(seconds * float64(time.Second))):
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case "alive":
		return nil, node.Alive()
	}
	fields, err, known := object(nil), error(nil), false
	switch {
	case strings.HasPrefix(verb, "kad-"):
		fields, err, known = route(ctx, node, verb, text)
	case verb == "gossip":
		fields, err, known = gossip(ctx, node, connected, text)
	default:
		fields, err, known = reach(ctx, node, verb)
	}
	if !known {
		return nil, Unsupported("%s cannot do %s", name, verb)
	}
	return fields, err
}

// useStream does an action that needs a stream of its own.
func useStream(ctx context.Context, node Node, verb, text string) (fields object, err error) {
	stream, err := node.Open(ctx, Protocols[verb])
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := stream.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			stream.Reset()
		} else {
			err = stream.Close()
		}
	}()
	switch verb {
	case "perf":
		first, second, _ := strings.Cut(text, ":")
		up, err := strconv.ParseUint(first, 10, 63)
		if err != nil {
			return nil, err
		}
		down, err := strconv.ParseUint(second, 10, 63)
		if err != nil {
			return nil, err
		}
		begun := time.Now()
		err = perf(stream, up, down)
		return object{{"upBytes", up}, {"downBytes", down}, {"seconds", time.Since(begun).Seconds()}}, err
	case "fetch":
		value, err := fetch(stream, "interop/"+text)
		if err == nil && (value == nil) != (text == "missing") || value != nil && *value != "value-of-"+text {
			err = fmt.Errorf("got a wrong value for %q", text)
		}
		return object{{"value", value}}, err
	case "echo":
		answer, err := ask(stream, text)
		if err == nil && answer != text {
			err = fmt.Errorf("sent %q, got %q", text, answer)
		}
		return object{{"echo", answer}}, err
	default:
		answer, err := ask(stream, text)
		if err == nil && answer != "re:"+text {
			err = fmt.Errorf("sent %q, got %q", text, answer)
		}
		return object{{"response", answer}}, err
	}
}

func millis(time time.Duration) float64 {
	return float64(time.Microseconds()) / 1e3
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
