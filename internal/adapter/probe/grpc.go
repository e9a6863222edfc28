package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/url"

	"bytes"

	"github.com/flyball-dev/flyball/internal/port/probe"
)

// grpc calls grpc.health.v1.Health/Check
// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md). Its two
// messages have one field each, so they are written and read here.
func (p *Prober) grpc(ctx context.Context, c probe.Check) (found, error) {
	address := url.URL{Scheme: "http", Host: c.Target, Path: "/grpc.health.v1.Health/Check"}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	if c.TLS {
		address.Scheme, protocols = "https", http.Protocols{}
		protocols.SetHTTP2(true)
	}
	transport := &http.Transport{DialContext: p.dialer.DialContext, TLSClientConfig: tlsConfig(c), Protocols: &protocols, MaxResponseHeaderBytes: 64 << 10}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address.String(), bytes.NewReader(healthRequest(c.Service)))
	if err != nil {
		return found{}, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("TE", "trailers")
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return found{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return found{answer: resp.Status}, err
	}
	f := found{certificate: resp.TLS}
	code := resp.Trailer.Get("Grpc-Status")
	if code == "" {
		code = resp.Header.Get("Grpc-Status") // an answer without a message
	}
	switch {
	case resp.StatusCode != http.StatusOK:
		f.answer, f.bad = resp.Status, "the answer is "+resp.Status
	case code == "5":
		f.answer, f.bad = "NOT_FOUND", "the server does not know the service "+c.Service
	case code == "12":
		f.answer, f.bad = "UNIMPLEMENTED", "the server has no health service"
	case code != "0":
		f.answer, f.bad = "status "+clip(code), "the call ended with the gRPC status "+clip(code)+": "+clip(resp.Trailer.Get("Grpc-Message"))
	default:
		status, err := healthStatus(body)
		if err != nil {
			return f, err
		}
		f.answer = status
		if status != "SERVING" {
			f.bad = "the service says " + status
		}
	}
	return f, nil
}

// healthRequest is HealthCheckRequest{service = 1} in a gRPC frame.
func healthRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service)))
		message = append(message, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

var healthNames = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

// healthStatus reads HealthCheckResponse{status = 1} from a gRPC frame. A
// message without the field says 0.
func healthStatus(frame []byte) (string, error) {
	wrong := errors.New("the answer is no health check response")
	if len(frame) < 5 || frame[0] != 0 || uint64(binary.BigEndian.Uint32(frame[1:])) != uint64(len(frame)-5) {
		return "", wrong
	}
	message := frame[5:]
	if len(message) == 0 {
		return healthNames[0], nil
	}
	status, n := binary.Uvarint(message[1:])
	if message[0] != 1<<3 || n != len(message)-1 || status >= uint64(len(healthNames)) {
		return "", wrong
	}
	return healthNames[status], nil
}
