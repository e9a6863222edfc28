package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/flyball-dev/flyball/internal/adapter/ntfy"
	"github.com/flyball-dev/flyball/internal/adapter/pagerduty"
	"github.com/flyball-dev/flyball/internal/adapter/shoutrrr"
	"github.com/flyball-dev/flyball/internal/adapter/slack"
	"github.com/flyball-dev/flyball/internal/adapter/smtp"
	"github.com/flyball-dev/flyball/internal/adapter/teams"
	"github.com/flyball-dev/flyball/internal/adapter/twilio"
	"github.com/flyball-dev/flyball/internal/adapter/webhook"
	"github.com/flyball-dev/flyball/internal/adapter/webpush"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// notifiers are the ways out, by kind of channel; without the key that browsers
// have signed up for, they cannot be reached.
func notifiers(c clock.Clock, push *ecdsa.PrivateKey) notify.Router {
	out := notify.Router{
		notify.KindWebhook: webhook.NewWith(c, secret),
		notify.KindSMTP:    smtp.New(c, secret),
		notify.KindSlack:   slack.New(c, secret),
		notify.KindTeams:   teams.New(c, secret),
		notify.KindNtfy:    ntfy.New(c, secret),
		notify.KindSMS:     twilio.New(c, secret),
		notify.KindVoice:   twilio.New(c, secret),

		notify.KindShoutrrr:  shoutrrr.New(c, secret),
		notify.KindPagerDuty: pagerduty.New(c, secret),
	}
	if push != nil {
		out[notify.KindWebPush] = webpush.New(c, push)
	}
	return out
}

// maxSecret bounds a secret in a file.
const maxSecret = 64 << 10

// secret is the value of a secret by the name of its environment variable:
// the variable itself, or the file that the variable NAME_FILE names, as
// containers are given secrets.
func secret(name string) (string, bool) {
	if v, ok := os.LookupEnv(name); ok {
		return v, true
	}
	file, ok := os.LookupEnv(name + "_FILE")
	if !ok {
		return "", false
	}
	info, err := os.Stat(file)
	if err != nil || info.Size() > maxSecret {
		return "", false
	}
	b, err := os.ReadFile(file)
	return strings.TrimSpace(string(b)), err == nil
}

// actKeySize is that of the hash it is used with.
const actKeySize = 32

// pushKey is the key that push services know the server by, kept in a file.
// Browsers that have signed up are bound to it.
func pushKey(state string) (*ecdsa.PrivateKey, error) {
	file := filepath.Join(state, "push.key")
	if b, err := os.ReadFile(file); err == nil {
		if parsed, err := x509.ParsePKCS8PrivateKey(b); err == nil {
			if key, ok := parsed.(*ecdsa.PrivateKey); ok && key.Curve == elliptic.P256() {
				return key, nil
			}
		}
		return nil, problem.New(problem.Invalid, "up", "%s holds no key of P-256", file).WithNext("remove it: a new one is made, and browsers must sign up again")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(file, b, 0o600)
}

// actKey is the key that signs links which act, kept in a file that only the
// server's user can read. Whoever removes it makes all links given out worthless.
func actKey(state string) (channel.Key, error) {
	file := filepath.Join(state, "act.key")
	b, err := os.ReadFile(file)
	if err == nil && len(b) == actKeySize {
		return b, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.Unavailable, "up", "the key of links in messages cannot be read: %w", err)
	}
	key := make([]byte, actKeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return key, os.WriteFile(file, key, 0o600)
}

// publicURL checks the address at which people reach the server, and gives its
// host name.
func publicURL(address string) (host string, err error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.User != nil {
		return "", problem.New(problem.Invalid, "up", "--url %q is not an http or https address", address).WithNext("write it as people type it, such as https://flyball.example.com")
	}
	return u.Hostname(), nil
}
