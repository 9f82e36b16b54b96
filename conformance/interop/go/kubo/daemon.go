package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"libp2p-proto.invalid/interop/contract"
	"libp2p-proto.invalid/interop/keys"
)

// daemon is a running `ipfs daemon` and its repository.
type daemon struct {
	repo string
	// addr is the address of its interface, and api the same as a URL.
	addr   string
	api    string
	cancel context.CancelFunc
	ended  chan error
}

func launch(ctx context.Context, options *contract.Options) (*daemon, error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	program := filepath.Join(filepath.Dir(own), "ipfs")
	repo, err := os.MkdirTemp("", "kubo-peer-")
	if err != nil {
		return nil, err
	}
	// The peer's own end does not cut the daemon short: it shuts down when it is told to.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &daemon{repo: repo, cancel: cancel, ended: make(chan error, 1)}
	if err := d.prepare(ctx, program, options); err != nil {
		cancel()
		return nil, errors.Join(err, os.RemoveAll(repo))
	}
	if err := d.run(life, ctx, program); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, nil
}

func (d *daemon) environment() []string {
	return append(os.Environ(), "IPFS_PATH="+d.repo, "IPFS_TELEMETRY=off")
}

// prepare makes the repository. The profile `test` takes away the bootstrap nodes, mDNS, port mapping and what is fetched from elsewhere.
func (d *daemon) prepare(ctx context.Context, program string, options *contract.Options) error {
	init := exec.CommandContext(ctx, program, "init", "--empty-repo", "--profile", "test")
	init.Env = d.environment()
	if output, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("ipfs init: %w: %s", err, output)
	}
	path := filepath.Join(d.repo, "config")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return err
	}
	key, err := keys.Make(options)
	if err != nil {
		return err
	}
	changes, err := settings(key, options)
	if err != nil {
		return err
	}
	merge(config, changes)
	text, err = json.MarshalIndent(config, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

type table = map[string]any

// settings are those that make a daemon talk to the peers of the test only.
func settings(key crypto.PrivKey, options *contract.Options) (table, error) {
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, err
	}
	private, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return nil, err
	}
	// The lowest number is the first choice.
	priority := func(name string) any {
		if place := slices.Index(options.Security, name); place >= 0 {
			return 100 * (place + 1)
		}
		return false
	}
	mounted := func(service, beginning string) bool { return options.Uses(service, beginning) }
	kad, relay := mounted("kad", "kad-"), !options.Dialing && options.Wants("relay")
	routing := "none"
	if kad {
		routing = "dht"
	}
	autonat := "disabled"
	switch {
	case options.Dialing:
	case options.Wants("autonat2"):
		autonat = "enabled"
	case options.Wants("autonat"):
		autonat = "legacy-v1"
	}
	changes := table{
		"Identity": table{"PeerID": id.String(), "PrivKey": base64.StdEncoding.EncodeToString(private)},
		"Addresses": table{
			"Swarm": append([]string{}, options.Listen...), "API": "/ip4/127.0.0.1/tcp/0", "Gateway": []string{},
		},
		"AutoNAT":       table{"ServiceMode": autonat},
		"Discovery":     table{"MDNS": table{"Enabled": !options.Dialing && options.Wants("mdns")}},
		"HTTPRetrieval": table{"Enabled": false},
		"Provide":       table{"Enabled": kad},
		"Pubsub":        table{"Enabled": mounted("gossip", "gossip"), "Router": "gossipsub"},
		// Every address is a loopback address, which local networks are not told of by default.
		"Routing": table{"Type": routing, "LoopbackAddressesOnLanDHT": true},
		"Swarm": table{
			"ConnMgr": table{"Type": "none"},
			// It waits for a public address, which nobody has on loopback.
			"EnableHolePunching": !options.Dialing && options.Wants("dcutr"),
			"RelayClient":        table{"Enabled": options.Relay != ""},
			"RelayService":       table{"Enabled": relay, "MaxReservations": slots, "MaxReservationsPerIP": slots, "MaxReservationsPerASN": slots},
			// All peers of a test run come from one host.
			"ResourceMgr": table{"Enabled": false},
			"Transports": table{
				"Network":  table{"QUIC": true, "Relay": relay || options.Circuits(), "TCP": true, "WebRTCDirect": false, "Websocket": true, "WebTransport": false},
				"Security": table{"Noise": priority("noise"), "TLS": priority("tls")},
			},
		},
		"Version": table{"SwarmCheckEnabled": false},
	}
	// A daemon relays only when it knows that it is public, and asks relays only when it knows that it is not.
	if options.Relay != "" {
		changes["Swarm"].(table)["RelayClient"].(table)["StaticRelays"] = []string{options.Relay}
		changes["Internal"] = table{"Libp2pForceReachability": "private"}
	} else if relay {
		changes["Internal"] = table{"Libp2pForceReachability": "public"}
	}
	return changes, nil
}

// slots is how many reservations a relay allows: all peers come from one host.
const slots = 1024

// merge writes changes into a configuration, table by table.
func merge(config, changes table) {
	for name, value := range changes {
		inner, isTable := value.(table)
		if old, ok := config[name].(table); ok && isTable {
			merge(old, inner)
		} else {
			config[name] = value
		}
	}
}

// run starts the daemon and waits until it is ready.
func (d *daemon) run(life, ctx context.Context, program string) error {
	command := exec.CommandContext(life, program, "daemon")
	command.Env = d.environment()
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 3 * time.Second
	// If this program is killed, so is the daemon.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := command.StdoutPipe()
	if err != nil {
		return err
	}
	// Both that it is ready and that it has ended have room, whether or not anybody still waits.
	ready := make(chan error, 2)
	go func() {
		// The kernel counts the death of the thread that started the daemon.
		runtime.LockOSThread()
		if err := command.Start(); err != nil {
			ready <- err
			d.ended <- nil
			return
		}
		err := errors.New("the daemon ended before it was ready")
		for lines := bufio.NewScanner(output); lines.Scan(); {
			fmt.Fprintln(os.Stderr, lines.Text())
			if lines.Text() == "Daemon is ready" {
				ready <- nil
			}
		}
		ready <- err
		d.ended <- command.Wait()
	}()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	return d.findAPI()
}

func (d *daemon) findAPI() error {
	text, err := os.ReadFile(filepath.Join(d.repo, "api"))
	if err != nil {
		return err
	}
	d.addr = strings.TrimSpace(string(text))
	addr, err := multiaddr.NewMultiaddr(d.addr)
	if err != nil {
		return err
	}
	_, host, err := manet.DialArgs(addr)
	d.api = "http://" + host + "/api/v0/"
	return err
}

func (d *daemon) stop() error {
	d.cancel()
	<-d.ended
	return os.RemoveAll(d.repo)
}

// ask calls a command of the daemon and hands each JSON value of its answer to take.
func ask[T any](ctx context.Context, d *daemon, command string, query url.Values, take func(T) error) error {
	return send(ctx, d, command, query, nil, take)
}

// send is ask with a file, if there is one.
func send[T any](ctx context.Context, d *daemon, command string, query url.Values, file []byte, take func(T) error) error {
	var body bytes.Buffer
	kind := ""
	if file != nil {
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("file", "file")
		if err == nil {
			_, err = part.Write(file)
		}
		if err = errors.Join(err, form.Close()); err != nil {
			return err
		}
		kind = form.FormDataContentType()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.api+command+"?"+query.Encode(), &body)
	if err != nil {
		return err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	values := json.NewDecoder(response.Body)
	if response.StatusCode != http.StatusOK {
		var refusal struct{ Message string }
		if err := values.Decode(&refusal); err != nil {
			return fmt.Errorf("ipfs %s: %s", command, response.Status)
		}
		return fmt.Errorf("ipfs %s: %s", command, refusal.Message)
	}
	for {
		var value T
		if err := values.Decode(&value); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("ipfs %s: %w", command, err)
		}
		if err := take(value); err != nil {
			return err
		}
	}
}
