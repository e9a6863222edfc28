package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/flyball-dev/flyball/internal/port/store"
)

// Minute is what came of the runs of a probe that began in one minute.
type Minute struct {
	Time   time.Time `json:"t"`
	Runs   int64     `json:"n"`           // made
	Bad    int64     `json:"b,omitempty"` // of them
	Unmade int64     `json:"u,omitempty"` // could not be made
}

// chunk is the time that one stored chunk holds.
const chunk = time.Hour

func series(name string) string { return "probes/" + name }

// Prefix is of the names of all stored chunks, for pruning.
const Prefix = "probes/"

// load gives the minutes of a probe in [from, until).
func load(ctx context.Context, blobs store.Blobs, name string, from, until time.Time) ([]Minute, error) {
	list, err := blobs.Range(ctx, series(name), from.UTC().Truncate(chunk), until)
	if err != nil {
		return nil, err
	}
	var out []Minute
	for _, b := range list {
		var hour []Minute
		if err := json.Unmarshal(b.Data, &hour); err != nil {
			return nil, fmt.Errorf("the runs of probe %s at %s: %w", name, b.Start.Format(time.RFC3339), err)
		}
		for _, m := range hour {
			if !m.Time.Before(from) && m.Time.Before(until) {
				out = append(out, m)
			}
		}
	}
	return out, nil
}

// add adds one run to the minutes of its hour.
func add(hour []Minute, r run) []Minute {
	at := r.at.UTC().Truncate(time.Minute)
	i, found := slices.BinarySearchFunc(hour, at, func(m Minute, t time.Time) int { return m.Time.Compare(t) })
	if !found {
		hour = slices.Insert(hour, i, Minute{Time: at})
	}
	switch m := &hour[i]; {
	case r.unmade:
		m.Unmade++
	case r.outcome.Good:
		m.Runs++
	default:
		m.Runs++
		m.Bad++
	}
	return hour
}

// keep stores runs, all of them in one transaction.
func (d *Desk) keep(ctx context.Context, runs []run) error {
	type place struct {
		name  string
		start time.Time
	}
	hours := map[place][]Minute{}
	var order []place
	for _, r := range runs {
		p := place{r.name, r.at.UTC().Truncate(chunk)}
		if _, ok := hours[p]; !ok {
			hour, err := load(ctx, d.Blobs, p.name, p.start, p.start.Add(chunk))
			if err != nil {
				return err
			}
			hours[p] = hour
			order = append(order, p)
		}
		hours[p] = add(hours[p], r)
	}
	var writes []store.BlobWrite
	for _, p := range order {
		data, err := json.Marshal(hours[p])
		if err != nil {
			return err
		}
		writes = append(writes, store.BlobWrite{Series: series(p.name), Start: p.start, Data: data})
	}
	return d.Blobs.Put(ctx, writes, nil)
}
