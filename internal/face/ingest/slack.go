package ingest

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/face/api"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Bounds on what Slack sends.
const (
	maxSlackBody   = 1 << 20
	slackTolerance = 5 * time.Minute // of the request's time from this clock, as Slack recommends
)

// pressed is an interaction with a message, as far as it is looked at.
type pressed struct {
	Type string `json:"type"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	ResponseURL string `json:"response_url"`
	Actions     []struct {
		ActionID string `json:"action_id"`
		Value    string `json:"value"`
	} `json:"actions"`
}

// token is the permission behind the button that was pressed; empty when it
// only opened a page.
func (p pressed) token() string {
	for _, a := range p.Actions {
		if a.ActionID == channel.Acknowledge || a.ActionID == channel.Resolve {
			return a.Value
		}
	}
	return ""
}

// slack hears buttons. What came of it is told to whoever has pressed.
func (i *Ingest) slack(w http.ResponseWriter, r *http.Request) {
	data, err := body(w, r, maxSlackBody)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	name, spec, err := i.slackChannel(r, data)
	if err != nil {
		i.fail(w, r, api.WithStatus(http.StatusUnauthorized, err))
		return
	}
	p, err := decodePressed(data)
	if err != nil {
		i.fail(w, r, err)
		return
	}
	token := p.token()
	if token == "" {
		w.WriteHeader(http.StatusOK)
		return
	}
	said := i.press(r.Context(), name, p.User.ID, token)
	// Slack waits three seconds for this, and shows nothing of it.
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	i.reply(r.Context(), spec, p.ResponseURL, said)
}

func decodePressed(data []byte) (p pressed, err error) {
	form, err := url.ParseQuery(string(data))
	if err == nil {
		err = json.Unmarshal([]byte(form.Get("payload")), &p)
	}
	if err != nil {
		return p, problem.New(problem.Invalid, "ingest.slack", "the interaction cannot be read: %w", err)
	}
	return p, nil
}

// slackChannel is the channel whose app has signed a request.
func (i *Ingest) slackChannel(r *http.Request, data []byte) (string, channel.Spec, error) {
	denied := problem.New(problem.Denied, "ingest.slack", "no Slack app that is declared here has signed this").
		WithNext("name the app's signing secret in the channel: signingSecretEnv")
	at := r.Header.Get("X-Slack-Request-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || i.o.Clock.Now().Sub(time.Unix(seconds, 0)).Abs() > slackTolerance {
		return "", channel.Spec{}, problem.New(problem.Denied, "ingest.slack", "the request is not of the last %s", slackTolerance)
	}
	specs, entries, err := catalog.List[channel.Spec](r.Context(), i.o.Reader, channel.Kind)
	if err != nil {
		return "", channel.Spec{}, err
	}
	for n, s := range specs {
		if s.Slack == nil || s.Slack.SigningSecretEnv == "" {
			continue
		}
		secret, err := i.o.Secret.Get(s.Slack.SigningSecretEnv)
		if err == nil && hmac.Equal([]byte(slackSignature(strings.TrimSpace(secret), at, data)), []byte(r.Header.Get("X-Slack-Signature"))) {
			return entries[n].Metadata.Name, s, nil
		}
	}
	return "", channel.Spec{}, denied
}

// slackSignature is how Slack signs a request: v0, HMAC-SHA256 of "v0:time:body".
func slackSignature(secret, at string, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(h, "v0:%s:", at)
	h.Write(body)
	return "v0=" + hex.EncodeToString(h.Sum(nil))
}

// press gives the answer of a button in the name of whoever pressed it, and says
// what came of it.
func (i *Ingest) press(ctx context.Context, name, member, token string) string {
	a, err := i.o.Answers.Open(ctx, token)
	if err == nil {
		a, err = i.o.Answers.As(ctx, a, name, member)
	}
	if err == nil {
		a.By = "a button in Slack"
		a, err = i.o.Answers.Do(ctx, a)
	}
	if err != nil {
		p := api.Describe(err)
		return strings.TrimSpace(p.Detail + ". " + p.Next)
	}
	return a.Said
}

// slackReplies is where Slack takes what is said to one member only.
const slackReplies = "https://hooks.slack.com/"

func (i *Ingest) reply(ctx context.Context, spec channel.Spec, address, said string) {
	if !strings.HasPrefix(address, slackReplies) && !strings.HasPrefix(address, spec.Slack.API+"/") {
		return
	}
	m := notify.Message{ID: "reply-" + strings.ToLower(rand.Text()), Text: notify.Text{Title: said}, Body: []byte("{}")}
	m.To = notify.Target{Settings: notify.Settings{Slack: &notify.Slack{}}, URL: address, Class: notify.Public}
	if strings.HasPrefix(address, spec.Slack.API+"/") {
		m.To.Class = notify.Declared
	}
	// It is in the timeline, whether or not they are told.
	_, _ = i.o.Notifier.Send(ctx, m)
}
