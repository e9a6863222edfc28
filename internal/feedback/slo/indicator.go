package slo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// IndicatorID identifies what is counted: the kind, the sources with their
// queries, the threshold, and the labels that make groups. Slots belong to it;
// two objectives on one indicator share them, and an indicator that changes
// starts anew. It is empty for what the proxy counts, whose counts belong to
// the service.
func (o *Objective) IndicatorID() string {
	i := o.Indicator
	if i.Kind == "" || i.Kind == Availability || i.Kind == Latency && i.Value == nil {
		return ""
	}
	text, err := json.Marshal(struct {
		Kind                    IndicatorKind
		Good, Bad, Total, Value *Source
		Counter, Failures       bool
		Op                      Op
		Threshold               Decimal
		GroupBy                 []string
	}{i.Kind, i.Good, i.Bad, i.Total, i.Value, i.Counter, i.Failures, i.Op, i.Threshold, o.GroupBy})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:10])
}
