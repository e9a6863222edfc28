// Package twilio reaches telephones by a gateway with the HTTP API of Twilio
// (2010-04-01): port/notify's adapter for text messages and calls.
//
// A call reads the message out and waits for a key: 1 says that whoever has
// answered the call has it. What was pressed comes to the channel's callback;
// the permission to act is in its address, signed by this server.
package twilio

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/flyball-dev/flyball/internal/adapter/outbound"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Sender writes and calls.
type Sender struct {
	client *outbound.Client
	secret notify.Secrets
}

// New makes a sender that asks secret for tokens.
func New(c clock.Clock, secret notify.Secrets) *Sender {
	return &Sender{client: outbound.NewClient(c), secret: secret}
}

// Send sends a text message, or makes a call. See notify.Notifier.
func (s *Sender) Send(ctx context.Context, m notify.Message) (notify.Receipt, error) {
	if err := notify.Check(m); err != nil {
		return notify.Receipt{}, err
	}
	gateway, resource, form := m.To.SMS, "Messages", url.Values{"To": {m.To.Address}}
	if gateway == nil {
		gateway, resource = m.To.Voice, "Calls"
	}
	if gateway == nil || m.To.Address == "" {
		return notify.Receipt{}, problem.New(problem.Invalid, "twilio.send", "the target is no telephone")
	}
	token, err := s.secret.Get(gateway.TokenEnv)
	if err != nil {
		return notify.Receipt{}, err
	}
	form.Set("From", gateway.From)
	if resource == "Messages" {
		form.Set("Body", short(m.Text))
	} else {
		form.Set("Twiml", spoken(m))
	}
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(gateway.AccountSID+":"+strings.TrimSpace(token))))
	// Gateways that know this header drop what they have.
	h.Set("Idempotency-Key", m.ID)
	a, err := s.client.Post(ctx, outbound.Request{
		Op: "twilio.send", Who: "the gateway", Class: m.To.Class, Header: h, Body: []byte(form.Encode()),
		URL: strings.TrimSuffix(gateway.URL, "/") + "/2010-04-01/Accounts/" + url.PathEscape(gateway.AccountSID) + "/" + resource + ".json",
	})
	return said(a, err)
}

// final are the gateway's errors about the number itself: invalid, unreachable,
// not a mobile, or its owner does not want messages.
var final = map[int]bool{21211: true, 21214: true, 21217: true, 21401: true, 21421: true, 21610: true, 21612: true, 21614: true}

func said(a outbound.Answer, err error) (notify.Receipt, error) {
	var answer struct {
		SID     string `json:"sid"`
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(a.Body, &answer) != nil {
		return a.Receipt, err
	}
	a.Foreign = answer.SID
	var p *problem.Error
	if errors.As(err, &p) && final[answer.Code] {
		return a.Receipt, problem.New(problem.Invalid, "twilio.send", "the gateway refuses the number: %d %s", answer.Code, answer.Message).WithNext("correct the number")
	}
	return a.Receipt, err
}

// maxText is what two segments of a text message hold that is not plain Latin.
const maxText = 134

// short is a message as text of a telephone: what hurts, and one link.
func short(t notify.Text) string {
	text := t.Title
	if r := []rune(text); len(r) > maxText {
		text = string(r[:maxText-1]) + "…"
	}
	if len(t.Links) > 0 {
		text += "\n" + t.Links[0].Label + ": " + t.Links[0].URL
	}
	return text
}

// The verbs of TwiML that are used.
type (
	response struct {
		XMLName xml.Name `xml:"Response"`
		Gather  *gather
		Say     []string
		Hangup  *struct{}
	}
	gather struct {
		XMLName   xml.Name `xml:"Gather"`
		Action    string   `xml:"action,attr"`
		Method    string   `xml:"method,attr"`
		NumDigits int      `xml:"numDigits,attr"`
		Timeout   int      `xml:"timeout,attr"` // seconds
		Say       []string
	}
)

const maxSpoken = 600 // characters, most of a minute

// spoken is a message as TwiML, said twice: the first words of a call are lost.
func spoken(m notify.Message) string {
	words := m.Text.Title + ". " + strings.Join(m.Text.Lines[:min(1, len(m.Text.Lines))], "")
	if r := []rune(words); len(r) > maxSpoken {
		words = string(r[:maxSpoken])
	}
	out := response{Say: []string{words, words}}
	if l, ok := m.Text.Find("acknowledge"); ok && m.To.Callback != "" {
		say := words + ". Press 1 if you have it."
		out = response{
			Gather: &gather{Action: m.To.Callback + "/answer?act=" + url.QueryEscape(l.Token), Method: http.MethodPost, NumDigits: 1, Timeout: 10, Say: []string{say, say}},
			Say:    []string{"Nothing was pressed. The next person will be called."},
		}
	}
	b, err := xml.Marshal(out)
	if err != nil {
		return "<Response><Hangup/></Response>" // strings only: it does not happen
	}
	return xml.Header + string(b)
}
