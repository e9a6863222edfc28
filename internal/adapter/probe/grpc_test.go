package probe

import (
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/flyball-dev/flyball/internal/port/probe"
)

// A real gRPC server is asked, with the health service and without.
func TestGRPC(t *testing.T) {
	start := func(register func(*grpc.Server)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := grpc.NewServer()
		register(s)
		go s.Serve(l)
		t.Cleanup(s.Stop)
		return l.Addr().String()
	}
	states := health.NewServer()
	states.SetServingStatus("pay", healthpb.HealthCheckResponse_SERVING)
	states.SetServingStatus("ship", healthpb.HealthCheckResponse_NOT_SERVING)
	healthy := start(func(s *grpc.Server) { healthpb.RegisterHealthServer(s, states) })
	for service, want := range map[string]string{
		"":     "good: SERVING: ",
		"pay":  "good: SERVING: ",
		"ship": "bad: NOT_SERVING: the service says NOT_SERVING",
		"gone": "bad: NOT_FOUND: the server does not know the service gone",
	} {
		expect(t, probe.Check{Kind: probe.GRPC, Target: healthy, Service: service}, want)
	}
	expect(t, probe.Check{Kind: probe.GRPC, Target: start(func(*grpc.Server) {})}, "bad: UNIMPLEMENTED: the server has no health service")
	expect(t, probe.Check{Kind: probe.GRPC, Target: closed(t)}, "bad: : the connection was refused")
}
