package web

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

type escalationListBody struct {
	Lead  string
	Items []policyRow
}

// policyRow is a policy with whom it would page first, now.
type policyRow struct {
	Name        string
	Description string
	Teams       []string
	First       string
}

// policiesShown bounds the list; each is resolved to people.
const policiesShown = 100

func (s *site) escalationList(v *visit) (page, error) {
	specs, entries, err := catalog.List[oncall.EscalationSpec](v.ctx, v.reader, oncall.KindEscalation)
	if err != nil {
		return page{}, err
	}
	users, err := v.teamsByPolicy()
	if err != nil {
		return page{}, err
	}
	b := escalationListBody{}
	nobody := 0
	for i, spec := range specs[:min(len(specs), policiesShown)] {
		row := policyRow{Name: entries[i].Metadata.Name, Description: spec.Description, Teams: users[entries[i].Metadata.Name]}
		standing, err := oncall.Stand(v.ctx, v.reader, row.Name, v.now)
		if err != nil {
			return page{}, err
		}
		calls, _, _ := oncall.Next(oncall.Escalation{Policy: row.Name, Due: v.now}, standing, false, v.now)
		if row.First = names(calls.Recipients); row.First == "" {
			nobody++
		}
		b.Items = append(b.Items, row)
	}
	switch {
	case len(b.Items) == 0:
		b.Lead = "No escalation policy is declared."
	case nobody > 0:
		b.Lead = fmt.Sprintf("%d of %s would page nobody now.", nobody, plural(len(b.Items), "policy", "policies"))
	default:
		b.Lead = sentence("somebody would be paged now by each of " + plural(len(b.Items), "policy", "policies"))
		if len(b.Items) == 1 {
			b.Lead = sentence("the policy " + b.Items[0].Name + " would page " + b.Items[0].First + " now")
		}
	}
	return page{Template: "escalations", Title: "Escalation", Section: "oncall", Body: b, Live: "oncall.,resource.", Every: 60}, nil
}

// teamsByPolicy says which teams name a policy.
func (v *visit) teamsByPolicy() (map[string][]string, error) {
	teams, entries, err := catalog.List[catalog.TeamSpec](v.ctx, v.reader, catalog.KindTeam)
	out := map[string][]string{}
	for i, t := range teams {
		if t.Escalation != "" {
			out[t.Escalation] = append(out[t.Escalation], entries[i].Metadata.Name)
		}
	}
	return out, err
}

func names(all []oncall.Recipient) string {
	var out []string
	for _, r := range all {
		out = append(out, r.Name)
	}
	return strings.Join(out, ", ")
}

type escalationBody struct {
	Name        string
	Lead        string
	Description string
	Teams       []string
	Steps       []policyStep
	Repeat      int
	Then        string
	Last        []recipient
}

// policyStep is one step of a policy, and whom it would page now.
type policyStep struct {
	Number     int
	After      string // since the first page, unless somebody answers
	Targets    []string
	RoundRobin bool
	Now        []recipient
	Empty      string
}

// recipient is somebody who would be paged.
type recipient struct {
	Name  string
	Via   string
	Quiet time.Time // quiet hours until then, for what can wait
}

func recipients(all []oncall.Recipient) (out []recipient) {
	for _, r := range all {
		out = append(out, recipient{r.Name, r.Via, r.QuietUntil})
	}
	return out
}

// escalation draws one policy as steps, with who would be paged right now.
func (s *site) escalation(v *visit) (page, error) {
	name := v.PathValue("name")
	spec, _, err := catalog.Get[oncall.EscalationSpec](v.ctx, v.reader, oncall.KindEscalation, name)
	if problem.KindOf(err) == problem.NotFound {
		return page{}, problem.New(problem.NotFound, "web.escalation", "there is no escalation policy named %q", name).WithNext("the list of policies shows what there is")
	}
	if err != nil {
		return page{}, err
	}
	standing, err := oncall.Stand(v.ctx, v.reader, name, v.now)
	if err != nil {
		return page{}, err
	}
	users, err := v.teamsByPolicy()
	if err != nil {
		return page{}, err
	}
	b := escalationBody{Name: name, Description: spec.Description, Teams: users[name], Repeat: spec.Repeat, Then: spec.Then, Last: recipients(standing.LastResort)}
	var after time.Duration
	for i, step := range spec.Steps {
		p := policyStep{Number: i + 1, After: "at once", RoundRobin: step.RoundRobin}
		if i > 0 {
			p.After = "after " + span(after)
		}
		after += step.Wait
		for _, t := range step.Notify {
			p.Targets = append(p.Targets, t.String())
		}
		if i < len(standing.Rounds) {
			p.Now, p.Empty = recipients(standing.Rounds[i].Notify), standing.Rounds[i].Empty
		}
		b.Steps = append(b.Steps, p)
	}
	calls, _, _ := oncall.Next(oncall.Escalation{Policy: name, Due: v.now}, standing, false, v.now)
	b.Lead = sentence(fmt.Sprintf("%s would be paged first now, by %s", cmp.Or(names(calls.Recipients), "nobody"), calls.Reason))
	return page{Template: "escalation", Title: name, Section: "oncall", Body: b, Live: "oncall.,resource.", Every: 60}, nil
}
