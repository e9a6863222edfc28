package release

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/action"
	"github.com/flyball-dev/flyball/internal/kernel/control"
)

var update = flag.Bool("update", false, "write what the gates in testdata/gate say")

// gateCase is what a case changes of a release that may go: a deploy of cart to
// prod, tested, with a budget that is plentiful.
type gateCase struct {
	Now        time.Time         `json:"now"`
	Release    Proposed          `json:"release"`
	Facts      GateFacts         `json:"facts"`
	Budget     Budget            `json:"budget"`
	Unknown    bool              `json:"unknown"`    // the budget is not known
	Undeclared bool              `json:"undeclared"` // the service is not declared any more
	Approvals  []action.Approval `json:"approvals"`
}

func ordinary() gateCase {
	return gateCase{
		Now: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC),
		Release: Proposed{Release: "cart-3f2a91c-prod", Change: "cart-3f2a91c", Run: "cart-3f2a91c-r1", Service: "cart", Team: "shop", Environment: "prod",
			Commit: "3f2a91c0000", Digest: "sha256:9be01d7c4211aa", Revision: "3f2a91c-9be01d", Kind: KindDeploy, Author: "ana"},
		Facts: GateFacts{
			Service:     &catalog.Service{Name: "cart", ServiceSpec: catalog.ServiceSpec{Team: "shop"}},
			Environment: catalog.Environment{Name: "prod", EnvironmentSpec: catalog.EnvironmentSpec{Delivery: "automatic"}}, Attempt: 1,
		},
		Budget: Budget{
			Objectives: []BudgetLeft{{Key: "cart.prod.availability", Name: "availability", Target: "99.9%", Remaining: 0.8, Burn1h: 0.4}},
			Policy:     BudgetVerdict{Effect: "allow", Rule: "default/plentiful", Objective: "cart.prod.availability", Reason: "80 % left", BudgetShare: 0.02},
		},
	}
}

// TestGate looks at every case of testdata/gate/*.txtar: "case" is what is
// unlike an ordinary release, "want" the phase, what the rollout is told, and
// the clauses.
func TestGate(t *testing.T) {
	files, err := filepath.Glob("testdata/gate/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := ordinary()
			if err := json.Unmarshal(a.Files[0].Data, &c); err != nil {
				t.Fatal(err)
			}
			if c.Undeclared {
				c.Facts.Service = nil
			}
			got := c.gate(t)
			if *update {
				a.Files[1].Data = []byte(got)
				err = os.WriteFile(file, txtar.Format(a), 0o644)
			} else if want := string(a.Files[1].Data); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// gate is what the gate says, and that it says so again from what is recorded.
func (c gateCase) gate(t *testing.T) string {
	facts, err1 := json.Marshal(c.Facts)
	budget, err2 := json.Marshal(c.Budget)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	in := control.GateInput{
		Action:   action.Action{Proposal: action.Proposal{ID: "a1", Type: ActionStart, Params: action.Params(c.Release)}, Approvals: c.Approvals},
		Facts:    facts,
		Readings: []control.Reading{{Name: "budget", Complete: !c.Unknown, Data: budget}},
	}
	g, recheck := Gate(in, c.Now)
	recorded, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var again control.GateInput
	if err := json.Unmarshal(recorded, &again); err != nil {
		t.Fatal(err)
	}
	if g2, _ := Gate(again, c.Now); fmt.Sprint(g2) != fmt.Sprint(g) {
		t.Errorf("from what is recorded it says\n%v\nand not\n%v", g2, g)
	}
	if !recheck.After(c.Now) {
		t.Errorf("it is not looked at again")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", g.Phase, g.Extra)
	for _, cl := range g.Clauses {
		fmt.Fprintf(&b, "%-4s  %s: %s\n", cl.Verdict, cl.Name, cl.Detail)
		if cl.Unblock != "" {
			fmt.Fprintf(&b, "      %s\n", cl.Unblock)
		}
	}
	return b.String()
}
