package embedded

import (
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxNesting is how deep messages may stand in each other in an export. Metrics
// take seven levels; an attribute's lists of lists take the rest. Decoding
// recurses, and a stack that overflows takes the process with it.
const maxNesting = 100

// message is a type of message of OTLP, by the fields that hold further
// messages (opentelemetry/proto/metrics/v1, resource/v1 and common/v1).
type message map[protowire.Number]message

// exportRequest describes an ExportMetricsServiceRequest down to where values
// can stand in values.
func exportRequest() message {
	anyValue, keyValue := message{}, message{}
	keyValue[2] = anyValue
	anyValue[5] = message{1: anyValue} // ArrayValue
	anyValue[6] = message{1: keyValue} // KeyValueList
	exemplar := message{7: keyValue}
	numbers := message{1: {7: keyValue, 5: exemplar}}
	metric := message{
		5: numbers, 7: numbers, // gauge, sum
		9:  {1: {9: keyValue, 8: exemplar}},  // histogram
		10: {1: {1: keyValue, 11: exemplar}}, // exponential histogram
		11: {1: {7: keyValue}},               // summary
		12: keyValue,
	}
	scopeMetrics := message{1: {3: keyValue}, 2: metric}
	return message{1: {1: {1: keyValue}, 2: scopeMetrics, 1000: scopeMetrics}} // 1000: before version 0.15
}

// checkNesting refuses an export that nests deeper than decoding may recurse,
// and one whose fields cannot be told apart: the decoder may see others.
func checkNesting(b []byte, m message, depth int) error {
	if depth > maxNesting {
		return refuse(http.StatusBadRequest, "the export nests values more than %d levels deep", maxNesting)
	}
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if kind == protowire.StartGroupType { // OTLP has none, and readers differ on where one ends
			return refuse(http.StatusBadRequest, "the export holds a group")
		}
		b = b[n:]
		inner, nests := m[number]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return protowire.ParseError(n)
		}
		if nests && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(b)
			if err := checkNesting(value, inner, depth+1); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}
