package channel

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/event"
	"github.com/flyball-dev/flyball/internal/kernel/operation"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
	"github.com/flyball-dev/flyball/internal/kernel/projection"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Browser is a browser that has signed up for push. Whoever has its address and
// keys can push to it, so that they are recorded sealed.
type Browser struct {
	ID      string    `json:"id"`
	Channel string    `json:"channel"`
	Person  string    `json:"person"`
	Sealed  string    `json:"sealed"` // its address and keys, which only this server can read
	Since   time.Time `json:"since,omitzero"`
}

// Browsers are those of one person, folded from the log, oldest first.
type Browsers struct {
	List []Browser `json:"list"`
}

// browsersName is where browsers are folded, keyed by person.
const browsersName = "channel.browsers"

// mostBrowsers bounds those of one person; the oldest goes.
const mostBrowsers = 10

func browsers() *projection.Projection {
	return projection.Define(projection.Fold[Browsers]{
		Name: browsersName, Version: 1, Types: []string{EventSubscribed, EventUnsubscribed},
		Keys: func(e event.Event) []string {
			b, err := event.Decode[Browser](e)
			if err != nil || b.Person == "" {
				return nil
			}
			return []string{b.Person}
		},
		Apply: func(_ string, all Browsers, e event.Event) (Browsers, error) {
			b, err := event.Decode[Browser](e)
			if err != nil {
				return all, err
			}
			var kept []Browser
			for _, old := range all.List {
				if old.ID != b.ID {
					kept = append(kept, old)
				}
			}
			if e.Type == EventSubscribed {
				b.Since = e.Time
				kept = append(kept, b)
			}
			all.List = kept[max(0, len(kept)-mostBrowsers):]
			return all, nil
		},
	})
}

// box seals what others must not read in the log.
func (k Key) box() (cipher.AEAD, error) {
	if len(k) == 0 {
		return nil, problem.New(problem.Unavailable, "channel.subscribe", "this server keeps no key to seal subscriptions with")
	}
	key, err := hkdf.Key(sha256.New, k, nil, "flyball subscription 1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (k Key) hide(plain []byte, about string) (string, error) {
	box, err := k.box()
	if err != nil {
		return "", err
	}
	nonce := make([]byte, box.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(box.Seal(nonce, nonce, plain, []byte(about))), nil
}

func (k Key) reveal(sealed, about string) ([]byte, error) {
	box, err := k.box()
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < box.NonceSize() {
		return nil, problem.New(problem.Invalid, "channel.deliver", "the browser's subscription cannot be read")
	}
	plain, err := box.Open(nil, raw[:box.NonceSize()], raw[box.NonceSize():], []byte(about))
	if err != nil {
		return nil, problem.New(problem.Invalid, "channel.deliver", "the browser's subscription was sealed by another server").WithNext("sign up again in the browser")
	}
	return plain, nil
}

// browsersOf are the targets of a person's browsers.
func (p *Post) browsersOf(ctx context.Context, t notify.Target, person string) (out []target, err error) {
	all, _, err := projection.Get[Browsers](ctx, p.Reader, browsersName, person)
	if err != nil {
		return nil, err
	}
	// The address of a push service is the browser's word.
	t.Class = notify.Public
	for _, b := range all.List {
		if b.Channel != t.Channel {
			continue
		}
		plain, err := p.Key.reveal(b.Sealed, b.Person)
		if err != nil {
			continue // the others may still be reached
		}
		t.Address = string(plain)
		out = append(out, target{Target: t, browser: b})
	}
	if len(out) == 0 {
		return nil, problem.New(problem.Invalid, "channel.deliver", "no browser of %s has signed up for %s", person, t.Channel).WithNext("sign up on the page /push of this server")
	}
	return out, nil
}

// SubscribeInput is what a browser gives out.
type SubscribeInput struct {
	Channel  string `json:"channel" arg:"1" doc:"name of the channel"`
	Endpoint string `json:"endpoint" required:"true" secret:"true" doc:"address of the push service, as the browser gives it"`
	P256dh   string `json:"p256dh" required:"true" secret:"true" doc:"the browser's public key, base64url"`
	Auth     string `json:"auth" required:"true" secret:"true" doc:"the browser's secret, base64url"`
}

// UnsubscribeInput names a browser.
type UnsubscribeInput struct {
	Channel string `json:"channel" arg:"1" doc:"name of the channel"`
	Browser string `json:"browser" required:"true" doc:"identifier of the subscription"`
}

// Subscribed is a browser that has signed up, or off.
type Subscribed struct {
	Channel string `json:"channel"`
	Browser string `json:"browser" doc:"identifier of the subscription"`
	Person  string `json:"person"`
}

// Bounds of a subscription, in characters.
const (
	maxEndpoint = 2000
	maxKey      = 200
)

// userPrefix begins the names of callers who are people.
const userPrefix = "user:"

func (d *Desk) subscribe(ctx context.Context, caller operation.Caller, in SubscribeInput) (Subscribed, error) {
	person, ok := strings.CutPrefix(caller.Name, userPrefix)
	if !ok {
		return Subscribed{}, problem.New(problem.Denied, "channel.subscribe", "%s is not a person", caller.Name).WithNext("use a token of your own: flyball token create --name user:ana")
	}
	spec, _, err := catalog.Get[Spec](ctx, d.Post.Reader, Kind, in.Channel)
	if err != nil {
		return Subscribed{}, err
	}
	u, err := url.Parse(in.Endpoint)
	if spec.WebPush == nil || err != nil || u.Scheme != "https" || u.Host == "" || len(in.Endpoint) > maxEndpoint || len(in.P256dh) > maxKey || len(in.Auth) > maxKey {
		return Subscribed{}, problem.New(problem.Invalid, "channel.subscribe", "that is no subscription of a browser, or %s is not for browsers", in.Channel)
	}
	plain, err := json.Marshal(map[string]any{"endpoint": in.Endpoint, "keys": map[string]string{"p256dh": in.P256dh, "auth": in.Auth}})
	if err != nil {
		return Subscribed{}, err
	}
	// One browser has one address, however often it signs up.
	sum := sha256.Sum256([]byte(in.Endpoint))
	b := Browser{ID: base64.RawURLEncoding.EncodeToString(sum[:9]), Channel: in.Channel, Person: person}
	if b.Sealed, err = d.Post.Key.hide(plain, person); err != nil {
		return Subscribed{}, err
	}
	return Subscribed{Channel: b.Channel, Browser: b.ID, Person: person}, d.recordBrowser(ctx, caller.Name, operation.CallID(ctx), EventSubscribed, b)
}

func (d *Desk) unsubscribe(ctx context.Context, caller operation.Caller, in UnsubscribeInput) (Subscribed, error) {
	person := strings.TrimPrefix(caller.Name, userPrefix)
	b := Browser{ID: in.Browser, Channel: in.Channel, Person: person}
	return Subscribed{Channel: b.Channel, Browser: b.ID, Person: person}, d.recordBrowser(ctx, caller.Name, operation.CallID(ctx), EventUnsubscribed, b)
}

func (d *Desk) recordBrowser(ctx context.Context, actor, cause, typ string, b Browser) error {
	return recordBrowser(ctx, d.Log, actor, cause, typ, b)
}

func recordBrowser(ctx context.Context, log event.Log, actor, cause, typ string, b Browser) error {
	_, err := log.Append(ctx, event.Batch{Stream: stream(b.Channel), Expect: event.AnyVersion, Drafts: []event.Draft{{
		Type: typ, Subject: stream(b.Channel), Actor: actor, Cause: cause, Data: b,
	}}})
	return err
}
