package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	otlp "github.com/prometheus/prometheus/storage/remote/otlptranslator/prometheusremotewrite"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// ahead is how far in the future a written sample may be.
const ahead = 10 * time.Minute

// promoted are the attributes of a resource that become labels of its series;
// the others are labels of target_info.
var promoted = []string{"service.name", "service.version", "deployment.environment", "deployment.environment.name"}

// OTLP takes metrics by OTLP over HTTP, as protobuf and as JSON
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp). Names become those of
// Prometheus, with unit and type as suffixes. Samples that cannot be stored
// (delta temporality, too old, ahead of time) are told in partial_success.
func (s *Store) OTLP() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || kind != protobufType && kind != jsonType {
			http.Error(w, "the content type must be "+protobufType+" or "+jsonType, http.StatusUnsupportedMediaType)
			return
		}
		answer, err := s.export(r, kind)
		if err != nil {
			answerStatus(w, kind, err)
			return
		}
		var body []byte
		if kind == jsonType {
			body, err = answer.MarshalJSON()
		} else {
			body, err = answer.MarshalProto()
		}
		if err != nil {
			answerStatus(w, kind, err)
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body) // the sender may be gone
	})
}

const (
	protobufType = "application/x-protobuf"
	jsonType     = "application/json"
)

func (s *Store) export(r *http.Request, kind string) (pmetricotlp.ExportResponse, error) {
	out := pmetricotlp.NewExportResponse()
	o, leave, err := s.enter()
	if err != nil {
		return out, err
	}
	defer leave()
	body, err := s.gunzipped(r)
	if err != nil {
		return out, err
	}
	md, err := decodeOTLP(body, kind)
	if err != nil {
		return out, err
	}
	rejected, reason, err := s.storeOTLP(r.Context(), o, md)
	if rejected > 0 {
		out.PartialSuccess().SetRejectedDataPoints(rejected)
		out.PartialSuccess().SetErrorMessage(reason)
	}
	return out, err
}

// decodeOTLP reads an export request.
func decodeOTLP(body []byte, kind string) (pmetric.Metrics, error) {
	req := pmetricotlp.NewExportRequest()
	var err error
	if kind == jsonType {
		err = req.UnmarshalJSON(body)
	} else if err = checkNesting(body, exportRequest(), 1); err == nil {
		err = req.UnmarshalProto(body)
	}
	if err != nil {
		return pmetric.Metrics{}, refuse(http.StatusBadRequest, "the body is no OTLP export of metrics: %s", err)
	}
	return req.Metrics(), nil
}

// storeOTLP stores what can be, and says how much could not.
func (s *Store) storeOTLP(ctx context.Context, o *opened, md pmetric.Metrics) (rejected int64, reason string, err error) {
	app := &picky{AppenderV2: o.db.AppenderV2(ctx)}
	ahead, span := sift(md, pcommon.NewTimestampFromTime(s.o.Clock.Now().Add(ahead)))
	for range ahead {
		app.reject(errors.New("a sample without time, or ahead of time"))
	}
	_, errs := otlp.NewPrometheusConverter(app).FromMetrics(ctx, md, otlp.Settings{
		DisableTargetInfo: span > infoSpan,
		AddMetricSuffixes: true, LabelNameUnderscoreSanitization: true, LabelNamePreserveMultipleUnderscores: true,
		PromoteResourceAttributes: otlp.NewPromoteResourceAttributes(config.OTLPConfig{PromoteResourceAttributes: promoted}),
	})
	if app.failed != nil || ctx.Err() != nil {
		return 0, "", errors.Join(app.failed, ctx.Err(), app.Rollback())
	}
	if err := app.Commit(); err != nil {
		return 0, "", err
	}
	if errs != nil {
		// What could not be translated was never handed to the appender.
		app.reject(errs)
	}
	if app.rejected > 0 {
		reason = fmt.Sprintf("not stored: %.500s", app.first)
	}
	return app.rejected, reason, nil
}

// infoSpan is the time that the points of a request may span for target_info to
// be written: it gets a sample every few minutes from the first to the last.
const infoSpan = time.Hour

// sift removes the points that have no time or are later than latest, and says
// how many, and what time the others span.
func sift(md pmetric.Metrics, latest pcommon.Timestamp) (removed int, span time.Duration) {
	first, last := pcommon.Timestamp(math.MaxUint64), pcommon.Timestamp(0)
	drop := func(at pcommon.Timestamp) bool {
		if at == 0 || at > latest {
			removed++
			return true
		}
		first, last = min(first, at), max(last, at)
		return false
	}
	number := func(p pmetric.NumberDataPoint) bool { return drop(p.Timestamp()) }
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				switch m.Type() {
				case pmetric.MetricTypeGauge:
					m.Gauge().DataPoints().RemoveIf(number)
				case pmetric.MetricTypeSum:
					m.Sum().DataPoints().RemoveIf(number)
				case pmetric.MetricTypeHistogram:
					m.Histogram().DataPoints().RemoveIf(func(p pmetric.HistogramDataPoint) bool { return drop(p.Timestamp()) })
				case pmetric.MetricTypeExponentialHistogram:
					m.ExponentialHistogram().DataPoints().RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool { return drop(p.Timestamp()) })
				case pmetric.MetricTypeSummary:
					m.Summary().DataPoints().RemoveIf(func(p pmetric.SummaryDataPoint) bool { return drop(p.Timestamp()) })
				}
			}
		}
	}
	if last < first {
		return removed, 0
	}
	return removed, last.AsTime().Sub(first.AsTime())
}

// picky stores the samples that can be, counts those that cannot, and remembers
// when the store itself fails.
type picky struct {
	storage.AppenderV2
	rejected int64
	first    error
	failed   error
}

func (p *picky) reject(err error) {
	p.rejected++
	if p.first == nil {
		p.first = err
	}
}

// Append stores a sample unless it cannot be.
func (p *picky) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	if h != nil && histogram.IsExponentialSchemaReserved(h.Schema) && h.Schema > histogram.ExponentialSchemaMax {
		if err := h.ReduceResolution(histogram.ExponentialSchemaMax); err != nil {
			p.reject(err)
			return 0, nil
		}
	}
	ref, err := p.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
	var histo histogram.Error
	var partial *storage.AppendPartialError
	switch {
	case err == nil, errors.As(err, &partial):
		return ref, nil // an exemplar is no loss
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrTooOldSample),
		errors.Is(err, storage.ErrDuplicateSampleForTimestamp), errors.As(err, &histo):
		p.reject(err)
		return 0, nil
	}
	p.failed = err
	return 0, err
}

// answerStatus answers a failure with a google.rpc.Status, as OTLP wants.
func answerStatus(w http.ResponseWriter, kind string, err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = refuse(http.StatusServiceUnavailable, "the store failed: %s", err)
	}
	if r.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	message := &status.Status{Message: r.message}
	var body []byte
	if kind == jsonType {
		body, err = protojson.Marshal(message)
	} else {
		body, err = proto.Marshal(message)
	}
	if err != nil {
		http.Error(w, r.message, r.status)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(r.status)
	_, _ = w.Write(body) // the sender may be gone
}
