package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// patience is how long a message may take to be acknowledged.
	patience = 4 * time.Second
	// attempts is how often a message is published, under a new body each time.
	attempts = 3
	// acked is how much of a message its acknowledgement repeats, in bytes.
	acked = 64
	// look is the pause between two looks at who has joined.
	look = 20 * time.Millisecond
)

var ack = []byte("ack:")

func head(data []byte) []byte { return data[:min(len(data), acked)] }

// acknowledge joins topics and answers every message that is no answer.
func acknowledge(ctx context.Context, node Node, topics []string) error {
	pubsub, ok := node.(PubSub)
	if !ok {
		return errors.New("no pubsub")
	}
	for _, name := range topics {
		topic, err := pubsub.Join(ctx, name)
		if err != nil {
			return err
		}
		go func() {
			for {
				message, err := topic.Next(ctx)
				if err != nil {
					if ctx.Err() == nil {
						fmt.Fprintln(os.Stderr, "topic", name, err)
					}
					return
				}
				if bytes.HasPrefix(message.Data, ack) {
					continue
				}
				line(object{
					{"event", "gossip"}, {"topic", name}, {"from", orNull(message.From)}, {"bytes", len(message.Data)},
					{"data", string(head(message.Data))},
				})
				if err := topic.Publish(ctx, append(bytes.Clone(ack), head(message.Data)...)); err != nil {
					fmt.Fprintln(os.Stderr, "ack:", err)
				}
			}
		}()
	}
	return nil
}

// gossip publishes messages, each until it is acknowledged.
func gossip(ctx context.Context, node Node, peer, text string) (fields object, err error, known bool) {
	pubsub, ok := node.(PubSub)
	if !ok {
		return nil, nil, false
	}
	name, numbers, _ := strings.Cut(text, ":")
	count, size := 1, 0
	if first, second, _ := strings.Cut(numbers, ":"); first != "" {
		if count, err = strconv.Atoi(first); err == nil && second != "" {
			size, err = strconv.Atoi(second)
		}
	}
	if err == nil && name == "" {
		err = errors.New("no topic")
	}
	if err != nil {
		return nil, err, true
	}
	topic, err := pubsub.Join(ctx, name)
	if err != nil {
		return nil, err, true
	}
	for {
		joined, err := topic.Knows(ctx, peer)
		if joined {
			break
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return nil, errors.Join(errors.New("the peer did not join"), err), true
		}
	}
	published := 0
	for number := range count {
		ok := false
		for attempt := 0; attempt < attempts && !ok; attempt++ {
			body := []byte(fmt.Sprintf("message %d.%d of %d", number, attempt, os.Getpid()))
			body = append(body, bytes.Repeat([]byte("."), max(0, size-len(body)))...)
			published++
			if ok, err = publish(ctx, topic, body); err != nil {
				return nil, err, true
			}
		}
		if !ok {
			return nil, fmt.Errorf("message %d was not acknowledged", number), true
		}
	}
	return object{{"acks", count}, {"published", published}}, nil, true
}

// publish says whether a message was acknowledged in time.
func publish(ctx context.Context, topic Topic, body []byte) (bool, error) {
	if err := topic.Publish(ctx, body); err != nil {
		return false, err
	}
	wanted := append(bytes.Clone(ack), head(body)...)
	inTime, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		message, err := topic.Next(inTime)
		switch {
		case err != nil && inTime.Err() != nil:
			return false, ctx.Err()
		case err != nil:
			return false, err
		case bytes.Equal(message.Data, wanted):
			return true, nil
		}
	}
}
