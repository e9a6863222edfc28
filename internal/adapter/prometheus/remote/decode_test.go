package remote

import (
	"encoding/json"
	"testing"

	"github.com/flyball-dev/flyball/internal/port/metric"
)

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1700000000.123,"12"],[1700000030,"NaN"]]}]}`,
		`{"resultType":"vector","result":[{"metric":{},"value":[1,"+Inf"]}]}`, `{"resultType":"scalar","result":[1,"2"]}`,
		`{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"3","sum":"NaN","buckets":[[0,"0.25","0.5","3"]]}]}]}`,
		`{"resultType":"matrix","result":[{"metric":{},"values":[[1]]}]}`, `{"resultType":"string","result":[1,"x"]}`,
		`{"resultType":"matrix","result":[{"metric":{},"values":[["1]","2"]]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decode(envelope{Data: json.RawMessage(b)})
		if err != nil {
			return
		}
		for i, s := range r.Series {
			if s.Labels == nil || i > 0 && metric.CompareLabels(r.Series[i-1].Labels, s.Labels) > 0 {
				t.Errorf("series %d without labels or out of order: %+v", i, r)
			}
		}
	})
}
