package embedded

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// The engine cannot be stopped within a series, so what would keep it busy for
// minutes there is refused before it begins.
func TestLongSubqueriesAreRefused(t *testing.T) {
	s := begin(t, Options{})
	for query, code := range map[string]int{
		"max_over_time(vector(1)[30d:1h])":                                                                  200,
		"max_over_time(max_over_time(vector(1)[1d:1m])[1d:1m])":                                             200,
		"max_over_time(vector(1)[1000d:1ms])":                                                               400,
		strings.Repeat("max_over_time(", 6) + "vector(1)" + strings.Repeat("[1d:1s])", 6):                   400,
		"max_over_time(rate(max_over_time(vector(1)[1d:1s])[1d:1s])[1m:1m])":                                400,
		"1 + sum(max_over_time(max_over_time((vector(1) > 0)[200y:1ms])[200y:1ms] offset 1h)) or vector(2)": 400,
	} {
		w := httptest.NewRecorder()
		s.API("x").ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/query?"+url.Values{"query": {query}}.Encode(), nil))
		if w.Code != code || code == 400 && !strings.Contains(w.Body.String(), "subquery [") {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}
