package embedded

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// encoded is JSON that is written as it is.
type encoded []byte

// writeAnswer writes a response of the API. A large one is not copied.
func writeAnswer(w http.ResponseWriter, a *answer) {
	data, ok := a.data.(encoded)
	if !ok {
		var err error
		if data, err = json.Marshal(a.data); err != nil {
			writeError(w, &apiError{http.StatusInternalServerError, "internal", err.Error()})
			return
		}
	}
	var tail []byte
	if len(a.warnings) > 0 {
		tail = append(quoted(append(tail, `,"warnings":[`...), a.warnings), ']')
	}
	if len(a.infos) > 0 {
		tail = append(quoted(append(tail, `,"infos":[`...), a.infos), ']')
	}
	w.Header().Set("Content-Type", "application/json")
	// Who asked may be gone; there is nobody else to tell.
	_, _ = w.Write([]byte(`{"status":"success","data":`))
	_, _ = w.Write(data)
	_, _ = w.Write(append(tail, '}'))
}

func quoted(b []byte, list []string) []byte {
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return b
}

func writeError(w http.ResponseWriter, e *apiError) {
	b := appendString([]byte(`{"status":"error","errorType":`), e.kind)
	b = append(appendString(append(b, `,"error":`...), e.message), '}')
	w.Header().Set("Content-Type", "application/json")
	if e.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(b) // who asked may be gone
}

// cutTo keeps at most limit series of a value; 0 is all.
func cutTo(v parser.Value, limit int) (parser.Value, bool) {
	switch x := v.(type) {
	case promql.Vector:
		if limit > 0 && len(x) > limit {
			return x[:limit], true
		}
	case promql.Matrix:
		if limit > 0 && len(x) > limit {
			return x[:limit], true
		}
	}
	return v, false
}

// appendValue writes a value of PromQL with its type.
func appendValue(b []byte, v parser.Value) []byte {
	b = append(append(b, `{"resultType":"`...), string(v.Type())...)
	b = append(b, `","result":`...)
	switch v := v.(type) {
	case promql.Scalar:
		b = append(appendSeconds(append(b, '['), v.T), ',')
		b = append(appendFloat(b, v.V), ']')
	case promql.String:
		b = append(appendSeconds(append(b, '['), v.T), ',')
		b = append(appendString(b, v.V), ']')
	case promql.Vector:
		b = appendVector(b, v)
	case promql.Matrix:
		b = appendMatrix(b, v)
	}
	return append(b, '}')
}

func appendVector(b []byte, v promql.Vector) []byte {
	b = append(b, '[')
	for i, s := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendLabels(append(b, `{"metric":`...), s.Metric), ',')
		if s.H != nil {
			b = appendHistogramPoint(append(b, `"histogram":`...), s.T, s.H)
		} else {
			b = appendPoint(append(b, `"value":`...), s.T, s.F)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendMatrix(b []byte, m promql.Matrix) []byte {
	b = append(b, '[')
	for i, s := range m {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLabels(append(b, `{"metric":`...), s.Metric)
		for j, p := range s.Floats {
			if j == 0 {
				b = append(b, `,"values":[`...)
			} else {
				b = append(b, ',')
			}
			b = appendPoint(b, p.T, p.F)
		}
		if len(s.Floats) > 0 {
			b = append(b, ']')
		}
		for j, p := range s.Histograms {
			if j == 0 {
				b = append(b, `,"histograms":[`...)
			} else {
				b = append(b, ',')
			}
			b = appendHistogramPoint(b, p.T, p.H)
		}
		if len(s.Histograms) > 0 {
			b = append(b, ']')
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendPoint(b []byte, at int64, v float64) []byte {
	b = append(appendTime(append(b, '['), at), ',')
	return append(appendFloat(b, v), ']')
}

// appendTime writes Unix milliseconds as seconds.
func appendTime(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
	}
	return b
}

// appendSeconds is appendTime without zeros at the end, as scalars have it.
func appendSeconds(b []byte, ms int64) []byte {
	return strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
}

// appendFloat writes a number as text, since JSON knows neither NaN nor Inf.
func appendFloat(b []byte, v float64) []byte {
	format := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return append(strconv.AppendFloat(append(b, '"'), v, format, -1, 64), '"')
}

func appendLabels(b []byte, l labels.Labels) []byte {
	b = append(b, '{')
	first := true
	l.Range(func(l labels.Label) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(appendString(b, l.Name), ':')
		b = appendString(b, l.Value)
	})
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	q, err := json.Marshal(s)
	if err != nil { // of no string
		return append(b, `""`...)
	}
	return append(b, q...)
}

// appendHistogramPoint writes a native histogram as the API of Prometheus 2.40
// and later does; a bucket begins with which of its bounds belong to it.
func appendHistogramPoint(b []byte, at int64, h *histogram.FloatHistogram) []byte {
	b = append(appendTime(append(b, '['), at), `,{"count":`...)
	b = append(appendFloat(b, h.Count), `,"sum":`...)
	b = appendFloat(b, h.Sum)
	found := false
	for it := h.AllBucketIterator(); it.Next(); {
		bucket := it.At()
		if bucket.Count == 0 {
			continue
		}
		if found {
			b = append(b, ',')
		} else {
			b = append(b, `,"buckets":[`...)
		}
		found = true
		b = append(b, '[', boundaries(bucket.LowerInclusive, bucket.UpperInclusive), ',')
		b = append(appendFloat(b, bucket.Lower), ',')
		b = append(appendFloat(b, bucket.Upper), ',')
		b = append(appendFloat(b, bucket.Count), ']')
	}
	if found {
		b = append(b, ']')
	}
	return append(b, "}]"...)
}

func boundaries(lower, upper bool) byte {
	switch {
	case lower && upper:
		return '3'
	case lower:
		return '1'
	case upper:
		return '0'
	}
	return '2'
}
