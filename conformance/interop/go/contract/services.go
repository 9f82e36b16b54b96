package contract

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Protocols are those that most implementations do not bring along, by the names of their services.
var Protocols = map[string]string{
	"perf":    "/perf/1.0.0",
	"echo":    "/echo/1.0.0",
	"reqresp": "/interop/reqresp/1.0.0",
	"fetch":   "/libp2p/fetch/0.0.1",
}

// maxMessage is the largest request, answer and fetch message, in bytes.
const maxMessage = 16 << 20

// Serve serves one inbound stream of such a service, to its end.
func Serve(service string, stream Stream) error {
	var err error
	switch service {
	case "perf":
		err = servePerf(stream)
	case "echo":
		// One direction after the other is not enough: what arrives goes back at once.
		_, err = io.Copy(stream, stream)
	case "reqresp":
		var request []byte
		if request, err = readAll(stream); err == nil {
			_, err = stream.Write(append([]byte("re:"), request...))
		}
	case "fetch":
		err = serveFetch(stream)
	}
	if err != nil {
		stream.Reset()
		return err
	}
	return stream.Close()
}

func readAll(stream Stream) ([]byte, error) {
	bytes, err := io.ReadAll(io.LimitReader(stream, maxMessage+1))
	if err == nil && len(bytes) > maxMessage {
		err = fmt.Errorf("a message of more than %d bytes", maxMessage)
	}
	return bytes, err
}

// ask sends one message, half-closes and reads the answer to its end.
func ask(stream Stream, message string) (string, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(stream, message)
		if err == nil {
			err = stream.CloseWrite()
		}
		sent <- err
	}()
	answer, err := readAll(stream)
	if err != nil {
		return "", err
	}
	return string(answer), <-sent
}

type zeros struct{}

func (zeros) Read(buffer []byte) (int, error) {
	clear(buffer)
	return len(buffer), nil
}

// sendZeros writes in pieces large enough that their size is not what is measured.
func sendZeros(stream io.Writer, count uint64) error {
	// Hidden, so that no implementation's own ReadFrom decides about the pieces.
	writer := struct{ io.Writer }{stream}
	_, err := io.CopyBuffer(writer, io.LimitReader(zeros{}, int64(count)), make([]byte, 256<<10))
	return err
}

func perf(stream Stream, up, down uint64) error {
	if _, err := stream.Write(binary.BigEndian.AppendUint64(nil, down)); err != nil {
		return err
	}
	if err := sendZeros(stream, up); err != nil {
		return err
	}
	if err := stream.CloseWrite(); err != nil {
		return err
	}
	received, err := drain(stream)
	if err == nil && received != down {
		err = fmt.Errorf("asked for %d bytes, got %d", down, received)
	}
	return err
}

func servePerf(stream Stream) error {
	var count [8]byte
	if _, err := io.ReadFull(stream, count[:]); err != nil {
		return err
	}
	if _, err := drain(stream); err != nil {
		return err
	}
	return sendZeros(stream, binary.BigEndian.Uint64(count[:]))
}

func drain(stream io.Reader) (uint64, error) {
	count, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, stream, make([]byte, 64<<10))
	return uint64(count), err
}

// fetch asks for the value of a key; none when it is not found.
func fetch(stream Stream, key string) (*string, error) {
	request := protowire.AppendTag(nil, 1, protowire.BytesType)
	if err := writeFrame(stream, protowire.AppendString(request, key)); err != nil {
		return nil, err
	}
	response, err := readFrame(bufio.NewReader(stream))
	if err != nil {
		return nil, err
	}
	numbers, texts, err := fields(response)
	if err != nil {
		return nil, err
	}
	value := texts[2]
	switch numbers[1] {
	case 0:
		return &value, nil
	case 1:
		return nil, nil
	default:
		return nil, fmt.Errorf("fetch status %d: %s", numbers[1], value)
	}
}

func serveFetch(stream Stream) error {
	reader := bufio.NewReader(stream)
	for {
		request, err := readFrame(reader)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		_, texts, err := fields(request)
		if err != nil {
			return err
		}
		var response []byte
		if name, found := strings.CutPrefix(texts[1], "interop/"); found && name != "missing" {
			response = protowire.AppendTag(response, 2, protowire.BytesType)
			response = protowire.AppendString(response, "value-of-"+name)
		} else {
			response = protowire.AppendTag(response, 1, protowire.VarintType)
			response = protowire.AppendVarint(response, 1)
		}
		if err := writeFrame(stream, response); err != nil {
			return err
		}
	}
}

func writeFrame(stream io.Writer, message []byte) error {
	_, err := stream.Write(append(binary.AppendUvarint(nil, uint64(len(message))), message...))
	return err
}

// readFrame reads a message behind its length; io.EOF at the end of the stream.
func readFrame(reader *bufio.Reader) ([]byte, error) {
	length, err := binary.ReadUvarint(reader)
	if err != nil {
		return nil, err
	}
	if length > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	message := make([]byte, length)
	_, err = io.ReadFull(reader, message)
	return message, err
}

// fields are those of a protobuf message that uses numbers and byte strings only.
func fields(message []byte) (map[protowire.Number]uint64, map[protowire.Number]string, error) {
	numbers, texts := map[protowire.Number]uint64{}, map[protowire.Number]string{}
	for rest := bytes.Clone(message); len(rest) > 0; {
		number, kind, length := protowire.ConsumeTag(rest)
		if length < 0 {
			return nil, nil, protowire.ParseError(length)
		}
		rest = rest[length:]
		switch kind {
		case protowire.VarintType:
			numbers[number], length = protowire.ConsumeVarint(rest)
		case protowire.BytesType:
			texts[number], length = protowire.ConsumeString(rest)
		default:
			length = protowire.ConsumeFieldValue(number, kind, rest)
		}
		if length < 0 {
			return nil, nil, protowire.ParseError(length)
		}
		rest = rest[length:]
	}
	return numbers, texts, nil
}
