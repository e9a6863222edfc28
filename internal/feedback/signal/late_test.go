package signal_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/adapter/memory"
	"github.com/flyball-dev/flyball/internal/feedback/signal"
	"github.com/flyball-dev/flyball/internal/port/measure"
)

func bin(seq int64, second int) measure.Bin {
	return measure.Bin{Seq: seq, Service: "shop", Environment: "prod", Revision: "a", Time: start.Add(time.Duration(second) * time.Second), Width: time.Second, Requests: 1}
}

// One pull brings a long backlog, and bins that are not in order of time: a
// reader who begins anywhere in it finds what is there.
func TestBinsFromTheMiddleOfABacklog(t *testing.T) {
	ctx := context.Background()
	src := &source{}
	for i := range 900 {
		src.bins = append(src.bins, bin(int64(i+1), (i+7)%900))
	}
	c := signal.NewCollector(src, memory.New(memory.Options{}).Blobs(), func([]measure.Bin) {})
	if _, err := c.Pull(ctx); err != nil {
		t.Fatal(err)
	}
	for from := range 900 {
		until := min(900, from+3)
		got, err := c.Bins(ctx, "shop", "prod", "a", start.Add(time.Duration(from)*time.Second), start.Add(time.Duration(until)*time.Second))
		if err != nil || len(got) != until-from {
			t.Fatalf("seconds %d to %d: %d bins, %v", from, until, len(got), err)
		}
	}
}

// deaf does not hear acknowledgements.
type deaf struct{ *source }

func (deaf) Ack(context.Context, int64) error { return errors.New("the agent is gone") }

// What is stored is observed although the source did not hear that it is, and
// is not observed again.
func TestObservedOnceWithoutAcknowledgement(t *testing.T) {
	ctx := context.Background()
	src := &source{bins: []measure.Bin{bin(1, 0), bin(2, 1)}}
	seen := 0
	c := signal.NewCollector(deaf{src}, memory.New(memory.Options{}).Blobs(), func(b []measure.Bin) { seen += len(b) })
	if _, err := c.Pull(ctx); err == nil {
		t.Fatal("a failed acknowledgement is not told")
	}
	if _, err := c.Pull(ctx); err != nil {
		t.Fatal(err)
	}
	if seen != 2 {
		t.Errorf("%d bins were observed, want 2", seen)
	}
}
