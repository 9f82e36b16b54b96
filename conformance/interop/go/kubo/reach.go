package main

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"libp2p-proto.invalid/interop/contract"
)

// opened is the daemon's count of reservations that relays have granted.
const opened = "libp2p_autorelay_reservations_opened_total "

// reserved waits until the relay has granted the slot that the daemon's configuration tells it to ask for. The daemon itself announces
// no circuit address at a relay without a public address.
func (n *node) reserved(ctx context.Context, options *contract.Options) error {
	for {
		granted, err := n.granted(ctx)
		if err != nil {
			return err
		}
		if granted {
			n.slot = options.Relay + "/p2p-circuit/p2p/" + n.self.ID
			return nil
		}
		select {
		case <-time.After(poll):
		case <-ctx.Done():
			return errors.New("the relay granted no slot")
		}
	}
}

func (n *node) granted(ctx context.Context) (bool, error) {
	address := strings.TrimSuffix(n.daemon.api, "api/v0/") + "debug/metrics/prometheus"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if count, found := strings.CutPrefix(lines.Text(), opened); found && count != "0" {
			return true, nil
		}
	}
	return false, lines.Err()
}
