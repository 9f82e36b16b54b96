package contract

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// namespace is that of the keys under which any value may be stored.
const namespace = "/interop/"

// route asks Kademlia; it tells whether there is such an action for this node.
func route(ctx context.Context, node Node, verb, text string) (fields object, err error, known bool) {
	router, ok := node.(Router)
	if !ok {
		return nil, nil, false
	}
	list := func(name string, found []string, err error) (object, error, bool) {
		if err == nil && len(found) == 0 {
			err = errors.New("nothing was found")
		}
		return object{{name, found}}, err, true
	}
	switch verb {
	case "kad-put":
		key, value, ok := strings.Cut(text, ":")
		if !ok {
			return nil, fmt.Errorf("%q is no key and value", text), true
		}
		return nil, router.Put(ctx, namespace+key, value), true
	case "kad-get":
		value, err := router.Get(ctx, namespace+text)
		return object{{"value", value}}, err, true
	case "kad-provide":
		return nil, router.Provide(ctx, text), true
	case "kad-find-providers":
		found, err := router.FindProviders(ctx, text)
		return list("providers", found, err)
	case "kad-find-peer":
		found, err := router.FindPeer(ctx, text)
		return list("addrs", found, err)
	case "kad-closest":
		found, err := router.Closest(ctx, text)
		return list("peers", found, err)
	default:
		return nil, nil, false
	}
}
