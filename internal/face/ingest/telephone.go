package ingest

import (
	"crypto/hmac"
	"crypto/sha1" // Twilio signs with it
	"encoding/base64"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/feedback/oncall"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

const maxTelephoneBody = 64 << 10

// twiml is what a telephone does next, in the verbs of TwiML.
type twiml struct {
	XMLName xml.Name `xml:"Response"`
	Say     string   `xml:",omitempty"`
	Dial    *dial
}

type dial struct {
	XMLName xml.Name `xml:"Dial"`
	Timeout int      `xml:"timeout,attr"` // seconds
	Number  []string
}

func speak(w http.ResponseWriter, t twiml) {
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write([]byte(xml.Header))
	_ = xml.NewEncoder(w).Encode(t)
}

// caller is a request of a gateway, which has signed it.
func (i *Ingest) caller(w http.ResponseWriter, r *http.Request) (spec channel.Spec, form url.Values, err error) {
	data, err := body(w, r, maxTelephoneBody)
	if err != nil {
		return spec, nil, err
	}
	denied := api.WithStatus(http.StatusForbidden, problem.New(problem.Denied, "ingest.telephone", "no gateway that is declared here has signed this").
		WithNext("the gateway must call the address that flyball up --url says, and sign with the channel's token"))
	spec, _, err = catalog.Get[channel.Spec](r.Context(), i.o.Reader, channel.Kind, r.PathValue("channel"))
	if err != nil || spec.Voice == nil {
		return spec, nil, denied
	}
	form, err = url.ParseQuery(string(data))
	if err != nil {
		return spec, nil, problem.New(problem.Invalid, "ingest.telephone", "the form cannot be read: %w", err)
	}
	token, err := i.o.Secret.Get(spec.Voice.TokenEnv)
	if err != nil {
		return spec, nil, err
	}
	address := strings.TrimSuffix(i.o.Web, "/") + r.URL.RequestURI()
	if !hmac.Equal([]byte(telephoneSignature(strings.TrimSpace(token), address, form)), []byte(r.Header.Get("X-Twilio-Signature"))) {
		return spec, nil, denied
	}
	return spec, form, nil
}

// telephoneSignature is how Twilio signs a request: HMAC-SHA1 of the address and
// the form's fields, in order.
func telephoneSignature(token, address string, form url.Values) string {
	h := hmac.New(sha1.New, []byte(token))
	h.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, v := range form[name] {
			h.Write([]byte(name + v))
		}
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// answered hears the key that was pressed in a call.
func (i *Ingest) answered(w http.ResponseWriter, r *http.Request) {
	_, form, err := i.caller(w, r)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	if form.Get("Digits") != "1" {
		speak(w, twiml{Say: "That was not 1. Nobody has it yet."})
		return
	}
	a, err := i.o.Answers.Open(r.Context(), r.URL.Query().Get("act"))
	if err == nil {
		a.By = "a key of the telephone"
		a, err = i.o.Answers.Do(r.Context(), a)
	}
	if err != nil {
		speak(w, twiml{Say: "That did not work. " + api.Describe(err).Detail})
		return
	}
	speak(w, twiml{Say: "Thank you. " + a.Said})
}

// ring is how long a caller waits for whoever is on call.
const ring = 30

// calls puts a caller through to whoever is on call.
func (i *Ingest) calls(w http.ResponseWriter, r *http.Request) {
	spec, _, err := i.caller(w, r)
	if err == nil && spec.Voice.Answers == "" {
		err = problem.New(problem.NotFound, "ingest.telephone", "nobody answers calls of this channel").WithNext("name a schedule: answers")
	}
	var numbers []string
	if err == nil {
		numbers, err = i.numbers(r, spec.Voice)
	}
	switch {
	case err != nil:
		i.fail(w, r, err)
	case len(numbers) == 0:
		speak(w, twiml{Say: "Nobody is on call who can be reached by telephone. Please write instead."})
	default:
		speak(w, twiml{Say: "You are put through to whoever is on call.", Dial: &dial{Timeout: ring, Number: numbers}})
	}
}

// numbers are the telephones of those who are on call.
func (i *Ingest) numbers(r *http.Request, g *notify.Gateway) (out []string, err error) {
	shifts, err := oncall.Now(r.Context(), i.o.Reader, g.Answers, i.o.Clock.Now())
	if err != nil {
		return nil, err
	}
	for _, s := range shifts {
		p, _, err := catalog.Get[oncall.PersonSpec](r.Context(), i.o.Reader, oncall.KindPerson, s.Person)
		if problem.KindOf(err) == problem.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, k := range p.Contacts {
			if k.Channel == r.PathValue("channel") && !slices.Contains(out, k.To) {
				out = append(out, k.To)
			}
		}
	}
	return out, nil
}
