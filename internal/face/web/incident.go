package web

import (
	"github.com/flyball-dev/flyball/internal/feedback/incident"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
)

type incidentListBody struct {
	Lead    string
	State   string
	Service string
	Items   []incident.Incident
	Next    string
	Declare bool
}

func (s *site) incidentList(v *visit) (page, error) {
	q := v.URL.Query()
	b := incidentListBody{State: q.Get("state"), Service: q.Get("service"), Declare: s.canEver(v, "incident.declare")}
	f := v.filter("all", "yes")
	switch {
	case b.Service != "":
		f.Index, f.Value = "service", b.Service
	case b.State == "open" || b.State == "resolved":
		f.Index, f.Value = "state", b.State
	}
	var err error
	if b.Items, b.Next, err = projection.List[incident.Incident](v.ctx, v.reader, incident.ProjectionName, f); err != nil {
		return page{}, err
	}
	open, _, err := projection.List[incident.Incident](v.ctx, v.reader, incident.ProjectionName, projection.Filter{Index: "state", Value: "open", Limit: projection.MaxPage})
	b.Lead = "No incident is open."
	if n := len(open); n > 0 {
		b.Lead = plural(n, "incident is open", "incidents are open") + "."
	}
	return page{Template: "incidents", Title: "Incidents", Section: "incidents", Body: b, Live: "incident."}, err
}

// canEver reports whether the visitor holds the operation's role anywhere.
func (s *site) canEver(v *visit, name string) bool {
	op, ok := s.operations[name]
	if !ok || v.past {
		return false
	}
	for _, g := range v.caller.Grants {
		if g.Role >= op.Role {
			return true
		}
	}
	return false
}
