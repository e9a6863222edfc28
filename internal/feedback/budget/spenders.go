package budget

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/control"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

// spenders remembers for a while who spent a budget: the gate asks every few
// seconds, and the answer hardly moves.
type spenders struct {
	mu   sync.Mutex
	kept map[string]spenderText
}

type spenderText struct {
	at   time.Time
	text string
}

const (
	keepSpenders = 5 * time.Minute
	maxSpenders  = 10_000
	named        = 3 // shares that a sentence names
)

// Spenders says who spent most of an objective's budget, such as "77c0e12
// (71 %), background (29 %)"; nothing when that cannot be told. It is at most
// five minutes old.
func (b *Books) Spenders(ctx context.Context, service, environment, key string) string {
	now := b.moment(ctx)
	_, past := operation.At(ctx)
	b.spenders.mu.Lock()
	kept, ok := b.spenders.kept[key]
	b.spenders.mu.Unlock()
	if age := now.Sub(kept.at); ok && !past && age >= 0 && age < keepSpenders {
		return kept.text
	}
	text := ""
	for _, o := range b.Objectives(service, environment) {
		if o.Key() == key {
			if l, err := b.Ledger(ctx, o, now); err == nil {
				text = l.Spenders(named)
			}
		}
	}
	if past {
		return text
	}
	b.spenders.mu.Lock()
	defer b.spenders.mu.Unlock()
	if b.spenders.kept == nil || len(b.spenders.kept) >= maxSpenders {
		b.spenders.kept = map[string]spenderText{}
	}
	b.spenders.kept[key] = spenderText{now, text}
	return text
}

// Source adds to the reading of a place's budgets who spent those that are
// spent: field "spent_by" of each objective. The rest stays as it was measured.
func (b *Books) Source(budgets control.Source) control.Source {
	return func(ctx context.Context, r control.Request, now time.Time) (control.Reading, error) {
		reading, err := budgets(ctx, r, now)
		if err != nil {
			return reading, err
		}
		var data map[string]json.RawMessage
		var objectives []map[string]json.RawMessage
		if json.Unmarshal(reading.Data, &data) != nil || json.Unmarshal(data["objectives"], &objectives) != nil {
			return reading, nil // whoever reads it says what is wrong with it
		}
		args, _ := r.Args.(map[string]string)
		added := false
		for _, o := range objectives {
			var key string
			var remaining float64
			if json.Unmarshal(o["key"], &key) != nil || json.Unmarshal(o["remaining"], &remaining) != nil || remaining > 0 {
				continue
			}
			if text := b.Spenders(ctx, args["service"], args["environment"], key); text != "" {
				if o["spent_by"], err = json.Marshal(text); err != nil {
					return reading, err
				}
				added = true
			}
		}
		if !added {
			return reading, nil
		}
		if data["objectives"], err = json.Marshal(objectives); err != nil {
			return reading, err
		}
		reading.Data, err = json.Marshal(data)
		return reading, err
	}
}

// Cost is what one incident cost one objective.
type Cost struct {
	Objective string `json:"objective" doc:"key"`
	Scale     int64  `json:"scale" doc:"counts per unit: 1, or 1e9 where a slice counts by its ratio"`
	Impact
}

// String is the cost in a line: "shop.prod.availability: 199 bad, 0.6 % of the
// budget, by change shop-8be01d4 (199)".
func (c Cost) String() string {
	text := fmt.Sprintf("%s: %s bad, %s of the budget", c.Objective, amount(c.Bad, c.Scale), percent(c.Budget))
	for i, p := range c.Causes {
		text += []string{", by ", ", "}[min(i, 1)] + fmt.Sprintf("%s %s (%s)", p.Kind, p.Name, amount(p.Bad, c.Scale))
	}
	return text
}

// Incident is what an incident cost each objective of its place, as far as it
// lies in their windows.
func (b *Books) Incident(ctx context.Context, service, environment, incident string) ([]Cost, error) {
	var out []Cost
	for _, o := range b.Objectives(service, environment) {
		l, err := b.Ledger(ctx, o, b.moment(ctx))
		if err != nil {
			return nil, err
		}
		for _, i := range l.Impacts {
			if i.Incident == incident {
				out = append(out, Cost{Objective: l.Objective, Scale: l.Scale, Impact: i})
			}
		}
	}
	return out, nil
}
