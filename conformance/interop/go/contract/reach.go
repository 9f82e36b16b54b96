package contract

import (
	"context"
	"time"
)

// reach does what has to do with NAT; it tells whether there is such an action for this node.
func reach(ctx context.Context, node Node, verb string) (fields object, err error, known bool) {
	switch verb {
	case "relay-reserve":
		reserver, ok := node.(Reserver)
		if !ok {
			return nil, nil, false
		}
		slot, err := reserver.Reserve(ctx)
		fields := object{{"circuitAddr", slot.Addr}}
		if !slot.Expire.IsZero() {
			fields = append(fields, field{"expire", slot.Expire.Unix()})
		}
		if slot.Limit > 0 {
			fields = append(fields, field{"limitSeconds", slot.Limit.Seconds()})
		}
		if slot.Bytes > 0 {
			fields = append(fields, field{"limitBytes", slot.Bytes})
		}
		return fields, err, true
	case "dcutr":
		puncher, ok := node.(Puncher)
		if !ok {
			return nil, nil, false
		}
		begun := time.Now()
		err := puncher.Direct(ctx)
		return object{{"ms", millis(time.Since(begun))}}, err, true
	case "autonat", "autonat2":
		prober, ok := node.(Prober)
		if !ok {
			return nil, nil, false
		}
		version := map[string]int{"autonat": 1, "autonat2": 2}[verb]
		verdict, err := prober.Reachability(ctx, version)
		return object{{"reachability", verdict}}, err, true
	default:
		return nil, nil, false
	}
}
