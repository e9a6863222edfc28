package web

import (
	"fmt"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/policy"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
)

type policyBody struct {
	Lead         string
	Policies     []policy.Policy
	Environments []catalog.Environment
	Freezes      []freeze
	Active       []policy.Override
	Over         []policy.Override
	MayGrant     bool
}

func (s *site) policies(v *visit) (page, error) {
	b := policyBody{MayGrant: s.canEver(v, "override.grant")}
	out, _, err := call[operation.Page[policy.Policy]](s, v, "policy.list", nil)
	if err != nil {
		return page{}, err
	}
	b.Policies = out.Items
	if b.Environments, err = catalog.Environments(v.ctx, v.reader); err != nil {
		return page{}, err
	}
	if b.Freezes, err = v.freezes(); err != nil {
		return page{}, err
	}
	all, err := v.overrides(true)
	if err != nil {
		return page{}, err
	}
	for _, o := range all {
		if o.Active(v.now) {
			b.Active = append(b.Active, o)
		} else if len(b.Over) < pageSize {
			b.Over = append(b.Over, o)
		}
	}
	frozen := "Nothing is frozen by the calendar"
	if len(b.Freezes) > 0 {
		frozen = fmt.Sprintf("%s is frozen: %s", b.Freezes[0].Environment, b.Freezes[0].Reason)
	}
	b.Lead = sentence(frozen + "; " + plural(len(b.Active), "override holds", "overrides hold"))
	return page{Template: "policies", Title: "Policies", Section: "policies", Body: b, Live: "gate.,resource."}, nil
}
