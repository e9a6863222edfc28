package embedded

import (
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// maxSubquery is how many points a subquery may have the engine look at for
// each series, all steps of what stands around it together. The engine sees
// that its time is up between series only, so this is what bounds the time.
const maxSubquery = 1e9

// checkSubqueries refuses a query whose subqueries would keep the engine busy
// for long after its time is up.
func checkSubqueries(q promql.Query) error {
	stmt, ok := q.Statement().(*parser.EvalStmt)
	if !ok {
		return nil
	}
	var refused error
	parser.Inspect(stmt.Expr, func(node parser.Node, path []parser.Node) error {
		sub, ok := node.(*parser.SubqueryExpr)
		if !ok || refused != nil {
			return nil
		}
		span, steps := stmt.End.Sub(stmt.Start), 1.0
		if stmt.Interval > 0 {
			steps += span.Seconds() / stmt.Interval.Seconds()
		}
		for _, outer := range path {
			if outer, ok := outer.(*parser.SubqueryExpr); ok {
				span += outer.Range
				steps = 1 + span.Seconds()/stepOf(outer).Seconds()
			}
		}
		if steps*sub.Range.Seconds()/stepOf(sub).Seconds() > maxSubquery {
			refused = &apiError{http.StatusBadRequest, "bad_data", "the subquery [" + sub.Range.String() + ":" + stepOf(sub).String() + "] looks at more than 1,000,000,000 points: use a longer step or a shorter range"}
		}
		return nil
	})
	return refused
}

// stepOf is a subquery's step, or the one that the engine chooses for it.
func stepOf(s *parser.SubqueryExpr) time.Duration {
	if s.Step > 0 {
		return s.Step
	}
	return time.Minute
}
