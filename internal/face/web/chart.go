package web

import (
	"encoding/json"
	"math"
	"time"
)

// chart is a time series as app.js draws it with uPlot, with the table behind.
type chart struct {
	ID      string
	Title   string
	Caption string // what it shows, for who does not see it
	Unit    string // of the values: %, ×, or empty
	Min     *float64
	Max     *float64
	Log     bool // values are decimal logarithms: ticks are powers of ten
	Times   []time.Time
	Series  []series
	Lines   []line
	Marks   []mark
}

// series is one line of a chart; a nil value is a gap.
type series struct {
	Name   string     `json:"name"`
	Kind   string     `json:"kind"` // line, step (stepped area), area, dash, low or high (edges of one band)
	Tone   string     `json:"tone"`
	Named  bool       `json:"named,omitempty"` // its name stands at its end
	Values []*float64 `json:"values"`
}

// line is a target or threshold with its name.
type line struct {
	Name string  `json:"name"`
	At   float64 `json:"at"`
	Tone string  `json:"tone"`
}

// mark is a moment, drawn as a vertical line.
type mark struct {
	Name string    `json:"name"`
	Time time.Time `json:"-"`
	At   int64     `json:"at"` // Unix seconds
	Tone tone      `json:"tone"`
	Href string    `json:"href,omitempty"`
}

// value is a number in a series; what is not finite is a gap.
func value(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	rounded := math.Round(x*1e6) / 1e6
	return &rounded
}

// Data is the chart as the script reads it.
func (c chart) Data() (string, error) {
	at := make([]float64, len(c.Times))
	for i, t := range c.Times {
		at[i] = float64(t.UnixMilli()) / 1000
	}
	// The script expects lists, also empty ones.
	lines := append([]line{}, c.Lines...)
	marks := make([]mark, len(c.Marks))
	for i, m := range c.Marks {
		m.At = m.Time.Unix()
		marks[i] = m
	}
	b, err := json.Marshal(map[string]any{
		"times": at, "series": c.Series, "lines": lines, "marks": marks,
		"unit": c.Unit, "min": c.Min, "max": c.Max, "log": c.Log,
	})
	return string(b), err
}

// maxTable is how many rows the table behind a chart has at most.
const maxTable = 60

// Row is one line of the table behind a chart.
type Row struct {
	Time  time.Time
	Cells []string
}

// Table is what the chart is drawn from; of many points evenly spaced ones and
// the last.
func (c chart) Table() []Row {
	every := max(1, (len(c.Times)+maxTable-1)/maxTable)
	var out []Row
	for i, t := range c.Times {
		if i%every != 0 && i != len(c.Times)-1 {
			continue
		}
		row := Row{Time: t}
		for _, s := range c.Series {
			row.Cells = append(row.Cells, c.cell(s.Values[i]))
		}
		out = append(out, row)
	}
	return out
}

func (c chart) cell(v *float64) string {
	switch {
	case v == nil:
		return "–"
	case c.Log:
		return number(math.Pow(10, *v))
	case c.Unit == "%":
		return percent(*v/100, 0)
	}
	return number(*v) + c.Unit
}
