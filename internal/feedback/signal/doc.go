// Package signal keeps what the data plane counts: requests, errors and slow
// requests per revision, second by second, and their sums per service and
// minute.
//
// Signals are not events: they are many, they are small, and nobody did them.
// The Collector takes bins from a measure.Source, stores them together with the
// source's cursor in one transaction, and only then acknowledges them, so that
// none is lost and none counted twice, whichever process dies when.
//
// Bins of a second (series bins/SERVICE/ENVIRONMENT/REVISION) judge rollouts and
// are kept for days; minutes (series minutes/SERVICE/ENVIRONMENT, an hour a
// chunk) feed objectives and are kept for as long as objectives look back, and
// so are minutes per revision (series revisions/SERVICE/ENVIRONMENT), by which a
// ledger tells who spent a budget.
package signal
