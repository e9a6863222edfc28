package pipeline_test

import (
	"strings"
	"testing"

	"github.com/flyball-dev/flyball/internal/flow/pipeline"
)

var scope = pipeline.Scope{
	Change: sampleChange,
	Env:    map[string]string{"MODE": "fast", "N": "3"},
	Needs:  map[string]pipeline.Need{"build": {Result: pipeline.Success, Outputs: map[string]string{"v": "1"}}},
	Steps:  map[string]pipeline.StepView{"lint": {Outcome: pipeline.Failure, Conclusion: pipeline.Success}},
	Status: pipeline.Status{Success: true},
}

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"":          "",
		"no braces": "no braces",
		"a ${{ env.MODE }} b ${{ int(env.N) + 1 }} ${{ 0.5 }} ${{ true }}": "a fast b 4 0.5 true",
		"${{ change.commit.substring }}":                                   "",
		"${{ '}}' + \"it's }}\" }}x":                                       "}}it's }}x",
		"${{ needs.build.outputs.v }}${{ needs.build.outputs.w }}":         "1",
		"${{ needs['build'].result }}":                                     "success",
		"${{ steps.lint.outcome }}/${{ steps.lint.conclusion }}":           "failure/success",
		"$HOME ${X} $(x)":                                                  "$HOME ${X} $(x)",
		"${{ change.time }}":                                               "2026-03-01T08:00:00Z",
	} {
		if strings.Contains(text, "substring") {
			if _, err := pipeline.ParseTemplate(text); err == nil {
				t.Errorf("%s: a text has no fields", text)
			}
			continue
		}
		tmpl, err := pipeline.ParseTemplate(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := tmpl.Expand(scope); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestCondition(t *testing.T) {
	failed := scope
	failed.Status = pipeline.Status{Failure: true}
	for cond, want := range map[string][2]bool{ // after success, after failure
		"":                             {true, false},
		"true":                         {true, false},
		"success()":                    {true, false},
		"failure()":                    {false, true},
		"always()":                     {true, true},
		"${{ always() }}":              {true, true},
		"!cancelled()":                 {true, true},
		"env.MODE == 'fast'":           {true, false},
		"always() && env.MODE == 'x'":  {false, false},
		"startsWith(env.MODE, 'fa')":   {true, false},
		"env.MODE.startsWith('fa')":    {true, false},
		"contains(change.branch, 'x')": {false, false},
		"success() || failure()":       {true, true},
		"has(env.NOPE)":                {false, false},
		"env.MODE in ['fast', 'slow']": {true, false},
	} {
		e, err := pipeline.ParseCondition(cond)
		if err != nil {
			t.Errorf("%s: %v", cond, err)
			continue
		}
		for i, s := range []pipeline.Scope{scope, failed} {
			if got, err := e.Holds(s); err != nil || got != want[i] {
				t.Errorf("%s in case %d = %v, %v", cond, i, got, err)
			}
		}
	}
}

// An expression cannot take the machine's time or memory.
func TestExpressionIsBounded(t *testing.T) {
	list := "[0,1,2,3,4,5,6,7,8,9]"
	nested := "1"
	for range 8 {
		nested = list + ".map(x, " + nested + ").size()"
	}
	loops := list
	for _, v := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		loops = list + ".all(" + v + ", " + loops + ".size() > 0)"
		loops = "[" + loops + "]"
	}
	for name, source := range map[string]string{
		"long":   strings.Repeat("1 + ", 2000) + "1",
		"deep":   strings.Repeat("(", 500) + "1" + strings.Repeat(")", 500),
		"costly": nested,
		"loops":  loops + ".size()",
	} {
		tmpl, err := pipeline.ParseTemplate("${{ " + source + " }}")
		if err == nil {
			_, err = tmpl.Expand(scope)
		}
		if err == nil {
			t.Errorf("%s: evaluated", name)
		}
	}
}

func FuzzExpression(f *testing.F) {
	for _, s := range []string{"a ${{ env.MODE }}", "${{ needs.build.outputs.v }}", "${{ 'x' }", "${{ [1].map(x, x)[0] }}", "${{ 1/0 }}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tmpl, err := pipeline.ParseTemplate(text)
		if err == nil {
			tmpl.Expand(scope)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error has several lines: %v", text, err)
		}
		if e, err := pipeline.ParseCondition(text); err == nil {
			e.Holds(scope)
		}
	})
}
