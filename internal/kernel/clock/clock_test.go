package clock

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

func TestVirtualOrder(t *testing.T) {
	v := NewVirtual(start)
	var timers []Timer
	for _, d := range []time.Duration{3, 1, 2, 1} {
		timers = append(timers, v.NewTimer(d*time.Second))
	}
	if at, ok := v.Next(); !ok || !at.Equal(start.Add(time.Second)) {
		t.Fatalf("next timer at %v, %v", at, ok)
	}
	if !timers[2].Stop() || timers[2].Stop() {
		t.Fatal("a pending timer stops once")
	}
	v.Advance(time.Second)
	for i, want := range []bool{false, true, false, true} {
		select {
		case at := <-timers[i].C():
			if !want || !at.Equal(start.Add(time.Second)) {
				t.Errorf("timer %d fired at %v", i, at)
			}
		default:
			if want {
				t.Errorf("timer %d did not fire", i)
			}
		}
	}
	if timers[1].Stop() {
		t.Error("a timer that fired was stopped")
	}
	v.AdvanceTo(start) // the past
	if !v.Now().Equal(start.Add(time.Second)) {
		t.Errorf("the clock went back to %v", v.Now())
	}
	v.Advance(time.Hour)
	if at := <-timers[0].C(); !at.Equal(start.Add(3 * time.Second)) {
		t.Errorf("the last timer fired at %v", at)
	}
	if _, ok := v.Next(); ok {
		t.Error("there is still a timer")
	}
	for _, d := range []time.Duration{0, -time.Second} {
		select {
		case <-v.NewTimer(d).C():
		default:
			t.Errorf("a timer of %v did not fire at once", d)
		}
	}
}

// TestVirtualModel compares with a sorted list.
func TestVirtualModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := NewVirtual(start)
		type pending struct {
			at    time.Time
			timer Timer
		}
		var model []pending
		t.Repeat(map[string]func(*rapid.T){
			"new": func(t *rapid.T) {
				d := time.Duration(rapid.IntRange(1, 50).Draw(t, "d"))
				model = append(model, pending{v.Now().Add(d), v.NewTimer(d)})
			},
			"stop": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "i")
				if !model[i].timer.Stop() {
					t.Fatal("a pending timer could not be stopped")
				}
				model = slices.Delete(model, i, i+1)
			},
			"advance": func(t *rapid.T) {
				v.Advance(time.Duration(rapid.IntRange(0, 60).Draw(t, "d")))
				now := v.Now()
				model = slices.DeleteFunc(model, func(p pending) bool {
					if p.at.After(now) {
						return false
					}
					select {
					case at := <-p.timer.C():
						if !at.Equal(p.at) {
							t.Fatalf("fired at %v, due at %v", at, p.at)
						}
					default:
						t.Fatalf("due at %v, not fired at %v", p.at, now)
					}
					return true
				})
			},
			"": func(t *rapid.T) {
				at, ok := v.Next()
				if ok != (len(model) > 0) {
					t.Fatalf("next: %v, with %d timers", ok, len(model))
				}
				for _, p := range model {
					if p.at.Before(at) {
						t.Fatalf("next at %v, a timer is due at %v", at, p.at)
					}
				}
			},
		})
	})
}

func TestSleep(t *testing.T) {
	v := NewVirtual(start)
	done := make(chan error, 1)
	go func() { done <- Sleep(context.Background(), v, time.Hour) }()
	for ok := false; !ok; _, ok = v.Next() {
	}
	v.Advance(time.Hour)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Sleep(ctx, v, time.Hour); !errors.Is(err, context.Canceled) {
		t.Fatalf("sleep after cancel: %v", err)
	}
	if _, ok := v.Next(); ok {
		t.Fatal("a cancelled sleep left its timer")
	}
}

func TestWall(t *testing.T) {
	if now := Wall().Now(); !strings.Contains(now.String(), " m=") {
		t.Errorf("%s has no monotonic reading", now)
	}
	synctest.Test(t, func(t *testing.T) {
		c := Wall()
		before := c.Now()
		if err := Sleep(t.Context(), c, time.Minute); err != nil {
			t.Fatal(err)
		}
		if d := c.Now().Sub(before); d != time.Minute {
			t.Errorf("slept %v", d)
		}
		if stopped := c.NewTimer(time.Hour).Stop(); !stopped {
			t.Error("a pending timer could not be stopped")
		}
	})
}
