package slo

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// conditionDef is a decoded AlertCondition.
type conditionDef struct {
	name      string
	severity  string
	condition BurnCondition
	after     time.Duration
	ok        bool
}

// condition reads the spec of an AlertCondition.
func (spec *object) condition(name string) *conditionDef {
	c := &conditionDef{name: name}
	errors := spec.d.errors()
	spec.get("description")
	c.severity = spec.need("how urgent it is, such as page or ticket", "severity").urgency()
	f := spec.need("the condition: {kind: burnrate, threshold: 14.4, lookbackWindow: 1h, alertAfter: 5m}", "condition").object()
	defer f.done()
	if f.isNull() {
		return c
	}
	if kind := f.get("kind"); !kind.isNull() && !strings.EqualFold(kind.text(), "burnrate") {
		kind.errorf("unknown-condition", "%s is no kind of condition; write burnrate", kind.shape())
	}
	switch op := f.get("op"); strings.ToLower(op.text()) {
	case "", "gt":
	case "gte":
		c.condition.Inclusive = true
	default:
		op.errorf("unknown-op", "alerting on %s burn rates makes no sense; write gt or gte", op.shape())
	}
	if v := f.need("the burn rate to alert on, such as 14.4", "threshold"); !v.isNull() {
		n, ok := v.number()
		if ok && n <= 0 {
			v.errorf("alert-factor", "a burn rate to alert on must be more than zero; 14.4 over 1h is usual for a page")
		}
		c.condition.Factor = n
	}
	if v := f.need("the time to look back, such as 1h", "lookbackWindow"); !v.isNull() {
		c.condition.Long, _ = v.lookback(false)
	}
	if v := f.get("shortWindow"); !v.isNull() { // ours: a second, shorter window that must burn as well
		c.condition.Short, _ = v.lookback(false)
		if c.condition.Short > c.condition.Long && c.condition.Long > 0 {
			v.errorf("alert-window", "the short window is longer than the lookback window")
		}
	}
	if v := f.get("alertAfter"); !v.isNull() {
		c.after, _ = v.lookback(true)
	}
	c.ok = spec.d.errors() == errors
	return c
}

// policy reads the spec of an AlertPolicy: one policy of the model for each
// condition, as each has a severity of its own.
func (r *resolver) policy(spec *object, name string) []AlertPolicy {
	spec.get("description")
	base := AlertPolicy{Name: name,
		Breaching: spec.get("alertWhenBreaching").flag(true),
		Resolved:  spec.get("alertWhenResolved").flag(false),
		NoData:    spec.get("alertWhenNoData").flag(false)}
	if !base.Breaching && !base.Resolved && !base.NoData {
		spec.warnf("silent-policy", "this policy never alerts; write alertWhenBreaching: true")
	}
	for _, t := range spec.get("notificationTargets").items() {
		name, to := r.notificationTarget(t)
		base.Targets, base.Notify = append(base.Targets, name), append(base.Notify, to)
	}
	conditions := spec.get("conditions")
	items := conditions.items()
	if len(items) == 0 {
		spec.errorf("no-conditions", "an alert policy needs a condition; write conditions: [{conditionRef: …}]")
	}
	var out []AlertPolicy
	for _, item := range items {
		c := r.policyCondition(item)
		if c == nil || !c.ok {
			continue
		}
		p := base
		if len(items) > 1 {
			p.Name = name + "/" + c.name
		}
		p.Severity, p.After, p.Conditions = c.severity, c.after, []BurnCondition{c.condition}
		out = append(out, p)
	}
	return out
}

func (r *resolver) policyCondition(item value) *conditionDef {
	if item.isScalar() {
		return r.conditionRef(item)
	}
	o := item.object()
	defer o.done()
	if ref := o.get("conditionRef"); !ref.isNull() {
		return r.conditionRef(ref)
	}
	name := o.get("metadata").object().get("name").text()
	o.get("kind")
	o.known = append(o.known, "apiVersion")
	if kind := o.get("kind"); !kind.isNull() && kind.text() != "AlertCondition" {
		kind.errorf("unknown-kind", "%s is not AlertCondition", kind.shape())
	}
	spec := o.need("the spec of the condition, or conditionRef", "spec").object()
	if spec.isNull() {
		return nil
	}
	c := spec.condition(name)
	spec.done()
	return c
}

func (r *resolver) conditionRef(ref value) *conditionDef {
	if c := r.conditions[ref.text()]; c != nil {
		return c
	}
	ref.errorf("dangling-reference", "there is no AlertCondition %q in these files; %s", clip(ref.text(), 60), didYouMean(ref.text(), keysOf(r.conditions)))
	return nil
}

// notificationTarget is the name of a target, and where it sends to.
func (r *resolver) notificationTarget(item value) (name, to string) {
	ref := item
	if !item.isScalar() {
		o := item.object()
		defer o.done()
		if ref = o.get("targetRef"); ref.isNull() {
			o.get("kind")
			o.known = append(o.known, "apiVersion")
			to = o.get("spec").object().get("target").text()
			return cmp.Or(o.get("metadata").object().get("name").text(), to), to
		}
	}
	if !r.has("AlertNotificationTarget", ref.text()) {
		ref.warnf("dangling-reference", "there is no AlertNotificationTarget %q in these files; %s", clip(ref.text(), 60),
			didYouMean(ref.text(), keysOf(r.byKind[formatOpenSLO+"/AlertNotificationTarget"])))
		return ref.text(), ref.text()
	}
	return ref.text(), r.byKind[formatOpenSLO+"/AlertNotificationTarget"][ref.text()].spec.get("target").text()
}

// sloPolicies reads the alert policies of an SLO, by name or inline. Without
// any written, the default ones apply; an empty list switches alerts off.
func (r *resolver) sloPolicies(spec *object, method Method) (policies []AlertPolicy, defaults bool) {
	list := spec.get("alertPolicies")
	if list.isNull() {
		return DefaultPolicies(method), true
	}
	for _, item := range list.items() {
		policies = append(policies, r.sloPolicy(item)...)
	}
	return policies, false
}

func (r *resolver) sloPolicy(item value) []AlertPolicy {
	ref := item
	if !item.isScalar() {
		o := item.object()
		defer o.done()
		if ref = o.get("alertPolicyRef"); ref.isNull() {
			name := o.get("metadata").object().get("name").text()
			o.get("kind")
			o.known = append(o.known, "apiVersion")
			spec := o.need("the spec of the policy, or alertPolicyRef", "spec").object()
			if spec.isNull() {
				return nil
			}
			p := r.policy(spec, name)
			spec.done()
			return p
		}
	}
	if p, ok := r.policies[ref.text()]; ok {
		return clonePolicies(p)
	}
	ref.errorf("dangling-reference", "there is no AlertPolicy %q in these files; %s", clip(ref.text(), 60), didYouMean(ref.text(), keysOf(r.policies)))
	return nil
}

// clonePolicies copies policies that several SLOs share.
func clonePolicies(in []AlertPolicy) []AlertPolicy { return append([]AlertPolicy(nil), in...) }

// urgencies are what others call the two severities: somebody is woken, or
// looks at it by day.
var urgencies = map[string][]string{
	"page":   {"page", "pager", "critical", "crit", "emergency", "fatal", "disaster", "urgent", "high", "sev1", "sev2", "p1", "p2"},
	"ticket": {"ticket", "warning", "warn", "medium", "moderate", "low", "minor", "info", "sev3", "sev4", "p3", "p4", "p5"},
}

// urgency is a severity as page or ticket. One that is neither stays as it is
// written, with a warning: nobody is paged for it.
func (v value) urgency() string {
	text := v.text()
	for severity, words := range urgencies {
		if slices.Contains(words, strings.ToLower(text)) {
			return severity
		}
	}
	if text != "" {
		v.warnf("unknown-severity", "%s is neither page nor ticket, so nobody is paged for it; write page, or ticket", v.shape())
	}
	return text
}
