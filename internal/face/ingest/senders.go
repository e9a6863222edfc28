package ingest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/flyball-dev/flyball/internal/feedback/alert"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// datadog takes what Datadog's webhook integration posts with the payload of
// docs/alert.md.
func (i *Ingest) datadog(w http.ResponseWriter, r *http.Request) {
	i.receive(w, r, r.PathValue("key"), maxBody, http.StatusOK, func(data []byte) ([]alert.Report, error) {
		one, err := alert.DecodeDatadog(data)
		return []alert.Report{one}, err
	})
}

// sentry takes webhooks of Sentry's integration platform.
func (i *Ingest) sentry(w http.ResponseWriter, r *http.Request) {
	in, data, err := i.signed(w, r, "Sentry-Hook-Signature")
	var reports []alert.Report
	if err == nil {
		var one alert.Report
		var about bool
		if one, about, err = alert.DecodeSentry(r.Header.Get("Sentry-Hook-Resource"), data); about {
			reports = append(reports, one)
		}
	}
	if err == nil {
		err = i.take(r.Context(), in, reports)
	}
	i.conclude(w, r, err)
}

func (i *Ingest) conclude(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		i.fail(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]string{"status": "success"})
}

// signed reads a body whose sender is known by the key in the address, and
// checks its signature when the integration has a secret: an HMAC-SHA256 of the
// body in hex, several after one another with commas while a secret is changed,
// each perhaps with its version before it.
func (i *Ingest) signed(w http.ResponseWriter, r *http.Request, header string) (alert.Integration, []byte, error) {
	in, err := i.sender(r, r.PathValue("key"))
	if err != nil {
		return in, nil, err
	}
	data, err := body(w, r, maxBody)
	if err != nil || in.SecretEnv == "" {
		return in, data, err
	}
	secret, ok := i.o.Secret(in.SecretEnv)
	if !ok || secret == "" {
		return in, nil, problem.New(problem.Unavailable, "ingest", "the server has no secret for the integration %s", in.Name).
			WithNext("set the environment variable %s on the server", in.SecretEnv)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(data)
	want := mac.Sum(nil)
	for one := range strings.SplitSeq(r.Header.Get(header), ",") {
		got, err := hex.DecodeString(strings.TrimPrefix(strings.TrimSpace(one), "v1="))
		if err == nil && hmac.Equal(got, want) {
			return in, data, nil
		}
	}
	return in, nil, i.unauthorized(problem.New(problem.Denied, "ingest", "the signature in %s does not fit the body", header).
		WithNext("give the server the sender's own secret in %s", in.SecretEnv))
}

// mapped takes what the mapping of an integration reads, or the plain form.
func (i *Ingest) mapped(w http.ResponseWriter, r *http.Request) {
	in, err := i.sender(r, r.PathValue("key"))
	var m alert.MappingSpec
	var mapped bool
	if err == nil {
		m, mapped, err = i.o.Intake.Mapping(r.Context(), in)
	}
	if err != nil {
		i.fail(w, r, err)
		return
	}
	i.receive(w, r, r.PathValue("key"), maxBody, http.StatusAccepted, func(data []byte) ([]alert.Report, error) {
		if mapped {
			return m.Decode(data, headers(r))
		}
		one, err := alert.DecodePlain(data)
		return []alert.Report{one}, err
	})
}

// headers are a request's headers by their names in lower case, without those
// that carry secrets.
func headers(r *http.Request) map[string]string {
	out := map[string]string{}
	for name, values := range r.Header {
		switch name = strings.ToLower(name); name {
		case "authorization", "cookie", "proxy-authorization":
		default:
			out[name] = strings.Join(values, ", ")
		}
	}
	return out
}
