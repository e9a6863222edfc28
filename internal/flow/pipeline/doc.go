// Package pipeline turns a pushed commit into a tested artifact: a run of jobs,
// each a list of commands in a fresh checkout.
//
// The vocabulary is that of GitHub Actions workflows, so that what people know
// holds here: on, env, jobs, needs, if, steps, run, timeout-minutes,
// concurrency, outputs. Expressions are CEL. What a key means where the two
// differ is in docs/pipeline.md.
//
//	workflow.go     the words: Spec, Job, Step and their short forms
//	resource.go     the kind Pipeline and what makes one valid
//	expression.go   ${{ … }} and if: parse, check, evaluate within a cost limit
//	contexts.go     what expressions can name, checked before anything runs
//	graph.go        needs: order, ancestors, cycles
//	events.go       the facts of a run
//	state.go        Run: the facts folded
//	schedule.go     Decide: which job or step starts, is skipped or ends next
//	evaluate.go     environment and outputs of jobs and steps
//	concurrency.go  Admit: groups in which one waits for another
//	outputs.go      the file in which a step leaves its outputs
//	mask.go         secrets taken out of logs
//	detect.go       a first service file for a repository that has none
//
// Everything here is pure. Time limits are enforced where steps run, on a clock
// that does not jump; Decide says how long each may take.
package pipeline
