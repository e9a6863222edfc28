// Package dora measures how software is delivered, after the research program
// of that name: deployment frequency, lead time for changes, change fail rate,
// failed deployment recovery time and rework.
//
// Nobody types a number in, and no number stands alone: each has its n, its
// interval and the deployments behind it. The arithmetic avoids the traps that
// such numbers usually fall into (docs/dora.md lists them):
//
//   - events.go, state.go: the facts of other rooms kept as three kinds of
//     records: pushes, deployments, incidents.
//   - attribute.go: which changes each deployment brought to a service in an
//     environment for the first time, and which deployments failed.
//   - measure.go: the numbers over a window.
//   - survival.go: the median of recovery times of which some are not over
//     (Kaplan and Meier 1958); interval.go: confidence intervals.
//   - band.go, bands/*.yaml: elite to low, as published in different years.
//   - operations.go: dora show.
//
// Everything is computed when it is asked for, in order of when things
// happened, so a fact that arrives late changes what it should change.
package dora
