// Package measure is the port to request counts per revision: what the judge,
// the objectives and the budgets are computed from.
//
// Counts come in bins. A request belongs to the bin in which it arrived. It is
// counted when it ends or when its route's limit passes, whichever is first, so
// that a revision that hangs yields bad requests rather than no data. A bin is
// given out once it is final, and never again changed; a second without any
// request yields no bin. How far all bins are final is the watermark: before
// it, no bin means no request, after it, no bin means not known yet.
//
// The contract, which measuretest checks of every adapter: bins come in order
// of Seq, each Seq once; asking again after the same Seq gives the same bins;
// what is not acknowledged is kept, across restarts. Beyond a stated bound,
// bins that nobody has read are merged into wider ones, so that totals stay
// exact; none is dropped.
package measure
