package demo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
)

// progress shows where the story is: one line per step that is told, and on a
// terminal what happens now.
type progress struct {
	stage *stage
	stop  context.CancelFunc
	ended sync.WaitGroup

	mu    sync.Mutex
	name  string
	doing string
	since time.Time
}

var frames = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

func newProgress(s *stage) *progress {
	p := &progress{stage: s, stop: func() {}}
	if !s.Terminal {
		return p
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.ended.Go(func() {
		for i := 0; clock.Sleep(ctx, s.Clock, 120*time.Millisecond) == nil; i++ {
			p.draw(frames[i%len(frames)])
		}
	})
	return p
}

func (p *progress) draw(frame rune) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name == "" {
		return
	}
	line := []rune(fmt.Sprintf("%c %3.0f s  %s  %s", frame, p.stage.Clock.Now().Sub(p.since).Seconds(), p.name, p.doing))
	fmt.Fprintf(p.stage.Progress, "\r\033[K%s", string(line[:min(len(line), 110)]))
}

// begin names the step that is told now.
func (p *progress) begin(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.doing, p.since = name, "", p.stage.Clock.Now()
}

// note says what is happening.
func (p *progress) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doing = fmt.Sprintf(format, args...)
}

// told prints a step that has been told.
func (p *progress) told(s Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name = ""
	if p.stage.Terminal {
		fmt.Fprint(p.stage.Progress, "\r\033[K")
	}
	mark := "ok  "
	if !s.OK {
		mark = "FAIL"
	}
	p.stage.say("%s %6.1f s  %s: %s", mark, s.Seconds, s.Name, s.Got)
	if s.Detail != "" {
		p.stage.say("               %s", strings.ReplaceAll(s.Detail, "\n", "\n               "))
	}
}

func (p *progress) close() {
	p.stop()
	p.ended.Wait()
}
