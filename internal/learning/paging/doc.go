// Package paging learns from pages: how soon people answered and trouble ended,
// whom it woke how often, which alerts paged and led to nothing, and whether
// pages reached the team whose change caused them.
//
// Everything is folded from the facts about incidents (state.go) into one Case
// for each; Weigh (weigh.go) makes a Report of the cases of a period, and is
// pure. Percentiles are nearest-rank. That a page led to nothing is told by what
// people did, never asked of them (Site Reliability Engineering, chapter 29:
// pages have to be actionable).
package paging
