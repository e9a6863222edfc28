// Package support says which team is on call for a service: the one that
// supports it, or the one that develops it.
//
// A SupportAgreement (resource.go) is what a supporting team, such as SRE, asks
// of a service's reliability in return for being on call for it (Site
// Reliability Engineering, chapter 32: "The Evolving SRE Engagement Model").
// While a service breaks it, because its budget is spent or it pages too often,
// on-call goes back to the team that develops it; once the service has been
// stable for long enough, it returns. Both are facts (events.go) that Decide
// (decide.go) leads to from what is folded in state.go; whoever pages asks
// Holder.
package support
