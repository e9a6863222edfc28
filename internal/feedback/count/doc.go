// Package count takes counts of good and total events that others push: jobs of
// a pipeline, batches, whoever has no metrics to be read. An objective says that
// it is fed so by a metric source of the type push:
//
//	ratioMetric:
//	  good:  {metricSource: {type: push, spec: {name: nightly}}}
//	  total: {metricSource: {type: push, spec: {name: nightly}}}
//
// What is pushed is a signal: it goes into the slots of the objective's
// indicator, at the time it happened, however late, and is not in the log but
// for the call itself.
package count
