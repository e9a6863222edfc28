package slo

import (
	"encoding/json"
	"fmt"
	"time"
)

// ExportGrafana writes a Grafana dashboard over the rules of ExportPrometheus,
// with the Prometheus data source as a variable. Its JSON is that of a dashboard
// model of schema version 39 (Grafana 10.4), which later ones migrate.
func ExportGrafana(objectives []*Objective) ([]byte, error) {
	d := dashboard{}
	for _, o := range objectives {
		e, err := newRuleExport(o)
		if err != nil {
			return nil, err
		}
		d.objective(e)
	}
	title := "Service level objectives"
	if len(objectives) == 1 {
		title = objectives[0].ID()
	}
	out, err := json.MarshalIndent(map[string]any{
		"title": title, "tags": []string{"slo", "flyball"}, "schemaVersion": 39, "version": 1, "editable": true,
		"timezone": "browser", "graphTooltip": 1, "refresh": "1m", "time": map[string]string{"from": "now-7d", "to": "now"},
		"annotations": map[string]any{"list": []any{}}, "links": []any{}, "panels": d.panels,
		"templating": map[string]any{"list": []any{map[string]any{
			"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0,
			"includeAll": false, "multi": false, "regex": "", "options": []any{}, "current": map[string]any{},
		}}},
	}, "", "  ")
	return append(out, '\n'), err
}

// dashboard is panels, laid out from the top.
type dashboard struct {
	panels []map[string]any
	row    int
}

// objective adds a row of panels.
func (d *dashboard) objective(e *ruleExport) {
	o := e.o
	d.panels = append(d.panels, map[string]any{"id": len(d.panels) + 1, "type": "row", "title": e.id + ": " + o.Target.Percent() + " over " + o.Window.String(),
		"collapsed": false, "panels": []any{}, "gridPos": place(0, d.row, 24, 1)})
	own := fmt.Sprintf("{slo=%q}", e.id)
	window := o.Window.Rolling
	if window > 0 {
		d.add("stat", "Budget left", "percentunit", place(0, d.row+1, 4, 7), thresholds(0, 0.5), target{"slo:error_budget_remaining:ratio" + own, "left"})
		d.add("stat", "Good over "+FormatDuration(window), "percentunit", place(4, d.row+1, 4, 7), thresholds(o.Target.Float64(), o.Target.Float64()),
			target{fmt.Sprintf("1 - slo:error_ratio:%s%s", promDuration(window), own), "good"})
	}
	var burns []target
	for _, w := range e.lengths() {
		burns = append(burns, target{fmt.Sprintf("slo:error_ratio:%s%s / %s", promDuration(w), own, o.BudgetRatio()), FormatDuration(w)})
	}
	d.add("timeseries", "Burn rate by window", "short", place(8, d.row+1, 8, 7), nil, burns...)
	unit := "events"
	if o.sliced() {
		unit = "slices"
	}
	d.add("timeseries", "Bad and all "+unit+", each "+FormatDuration(e.step), "short", place(16, d.row+1, 8, 7), nil,
		target{e.metric("bad") + own, "bad"}, target{e.metric("events") + own, "all"})
	if window > 0 {
		d.add("timeseries", "Budget left over time", "percentunit", place(0, d.row+8, 16, 7), thresholds(0, 0.5), target{"slo:error_budget_remaining:ratio" + own, "left"})
	}
	d.add("timeseries", "Alerts that fire", "short", place(16, d.row+8, 8, 7), nil,
		target{fmt.Sprintf(`count by (severity) (ALERTS{alertname="ErrorBudgetBurn", alertstate="firing", slo=%q})`, e.id), "{{severity}}"})
	d.row += 15
}

type target struct{ expr, legend string }

func (d *dashboard) add(kind, title, unit string, at, steps map[string]any, targets ...target) {
	source := map[string]string{"type": "prometheus", "uid": "${datasource}"}
	var list []map[string]any
	for i, t := range targets {
		list = append(list, map[string]any{"refId": string(rune('A'+i%26)) + suffix(i), "expr": t.expr, "legendFormat": t.legend, "datasource": source, "instant": kind == "stat", "range": kind != "stat"})
	}
	defaults := map[string]any{"unit": unit, "decimals": 3, "custom": map[string]any{}, "mappings": []any{}}
	if kind == "timeseries" {
		defaults["custom"] = map[string]any{"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "showPoints": "never", "spanNulls": int64(15 * time.Minute / time.Millisecond)}
	}
	if steps != nil {
		defaults["thresholds"] = steps
	}
	options := map[string]any{"legend": map[string]any{"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": map[string]any{"mode": "multi", "sort": "desc"}}
	if kind == "stat" {
		options = map[string]any{"reduceOptions": map[string]any{"calcs": []string{"lastNotNull"}, "fields": "", "values": false}, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
	}
	d.panels = append(d.panels, map[string]any{"id": len(d.panels) + 1, "type": kind, "title": title, "datasource": source, "gridPos": at,
		"fieldConfig": map[string]any{"defaults": defaults, "overrides": []any{}}, "options": options, "targets": list})
}

// suffix tells queries apart beyond the alphabet.
func suffix(i int) string {
	if i < 26 {
		return ""
	}
	return fmt.Sprint(i / 26)
}

func place(x, y, w, h int) map[string]any {
	return map[string]any{"x": x, "y": y, "w": w, "h": h}
}

// thresholds colour a value red below low, yellow below high, else green.
func thresholds(low, high float64) map[string]any {
	steps := []map[string]any{{"color": "red", "value": nil}, {"color": "yellow", "value": low}, {"color": "green", "value": high}}
	if low == high {
		steps = []map[string]any{{"color": "red", "value": nil}, {"color": "green", "value": high}}
	}
	return map[string]any{"mode": "absolute", "steps": steps}
}
