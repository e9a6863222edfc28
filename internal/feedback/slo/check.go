package slo

import (
	"fmt"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// Check is what is wrong with the objective, whoever wrote it: the errors that
// would make a number wrong, with what to write instead. Findings carry the
// field, but no position; decoders add those.
func (o *Objective) Check() []problem.Finding {
	var out []problem.Finding
	bad := func(code, field, format string, args ...any) {
		out = append(out, problem.Finding{File: o.File, Line: o.Line, Severity: "error", Code: code, Field: field, Message: fmt.Sprintf(format, args...)})
	}
	if o.Name == "" {
		bad("no-name", "name", "an objective needs a name")
	}
	if o.Service == "" {
		bad("no-service", "service", "an objective needs the service it is about")
	}
	if o.Target <= 0 || o.Target >= One {
		bad("target-range", "target", "a target of %s is not strictly between 0 and 1; write 0.999 for 99.9 %%", o.Target)
	}
	if o.Agreement != 0 && (o.Agreement < 0 || o.Agreement >= o.Target) {
		bad("agreement-range", "target", "an SLA of %s is not looser than the objective of %s: the objective has to be spent first", o.Agreement, o.Target)
	}
	length := o.Window.Nominal()
	if length <= 0 {
		bad("window-zero", "timeWindow", "a window must be longer than zero; 30d is usual")
	}
	if length > maxWindow {
		bad("window-long", "timeWindow", "a window of %s is longer than %s", o.Window, FormatDuration(maxWindow))
	}
	if o.sliced() {
		switch {
		case o.SliceWindow <= 0:
			bad("slice-window", "timeSliceWindow", "%s needs the width of a slice; 1m is usual", o.Method)
		case o.SliceWindow > length:
			bad("slice-longer-than-window", "timeSliceWindow", "a slice of %s is longer than the window of %s", FormatDuration(o.SliceWindow), o.Window)
		}
	}
	if o.Method == Timeslices && (o.SliceTarget <= 0 || o.SliceTarget > One) {
		bad("slice-target", "timeSliceTarget", "a slice target of %s is not above 0 and at most 1; write 0.95 for 95 %%", o.SliceTarget)
	}
	return append(out, o.checkPolicies()...)
}

// maxWindow bounds windows, and with them memory.
const maxWindow = 5 * 366 * 24 * time.Hour

func (o *Objective) checkPolicies() []problem.Finding {
	var out []problem.Finding
	for _, p := range o.AlertPolicies {
		for _, c := range p.Conditions {
			code, message := "", ""
			switch {
			case c.Long <= 0:
				code, message = "alert-window", "a burn rate needs a lookback window longer than zero; 1h is usual"
			case c.Long > maxWindow || c.Short > c.Long:
				code, message = "alert-window", fmt.Sprintf("the windows of %s do not fit each other", c)
			case c.Factor <= 0:
				code, message = "alert-factor", "a burn rate to alert on must be more than zero; 14.4 over 1h is usual for a page"
			}
			if code != "" {
				out = append(out, problem.Finding{File: o.File, Line: o.Line, Severity: "error", Code: code, Field: "alertPolicies", Message: p.Name + ": " + message})
			}
		}
	}
	return out
}
