package webpush

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/port/notify"
	"github.com/flyball-dev/flyball/internal/port/notify/notifytest"
)

func must64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := decode64(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The example of RFC 8291, section 5 and appendix A.
func TestExampleOfTheRFC(t *testing.T) {
	var s Subscription
	s.Keys.P256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	s.Keys.Auth = "BTBZMqHH6r4Tts7J_aSIgg"
	ephemeral, err := ecdh.P256().NewPrivateKey(must64(t, "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := seal(s, []byte("When I grow up, I want to be a watermelon"), ephemeral, must64(t, "DGv6ra1nlYgDCS1FRnbzlw"))
	if err != nil {
		t.Fatal(err)
	}
	want := "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
	if base64.RawURLEncoding.EncodeToString(got) != want {
		t.Errorf("got  %s\nwant %s", base64.RawURLEncoding.EncodeToString(got), want)
	}
}

// browser is the other end of a subscription.
type browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

func (b browser) subscription(endpoint string) string {
	s := Subscription{Endpoint: endpoint}
	s.Keys.P256dh = base64.RawURLEncoding.EncodeToString(b.key.PublicKey().Bytes())
	s.Keys.Auth = base64.RawURLEncoding.EncodeToString(b.auth)
	raw, _ := json.Marshal(s)
	return string(raw)
}

// open reads a push, as a browser does (RFC 8188, 8291).
func (b browser) open(t *testing.T, body []byte) (n Notification) {
	t.Helper()
	salt, id := body[:16], body[21:21+int(body[20])]
	sender, err := ecdh.P256().NewPublicKey(id)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := b.key.ECDH(sender)
	if err != nil {
		t.Fatal(err)
	}
	derive := func(secret, salt []byte, info string, n int) []byte {
		k, err := hkdf.Key(sha256.New, secret, salt, info, n)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	material := derive(shared, b.auth, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(id), 32)
	block, err := aes.NewCipher(derive(material, salt, "Content-Encoding: aes128gcm\x00", 16))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gcm.Open(nil, derive(material, salt, "Content-Encoding: nonce\x00", 12), body[21+len(id):], nil)
	if err != nil || plain[len(plain)-1] != 2 {
		t.Fatalf("the push cannot be read: %v", err)
	}
	if err := json.Unmarshal(plain[:len(plain)-1], &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// verified checks who sends, as a push service does (RFC 8292).
func verified(t *testing.T, r *http.Request, key *ecdsa.PrivateKey) bool {
	t.Helper()
	token, k, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "vapid t="), ", k=")
	public, _ := PublicKey(key)
	parts := strings.Split(token, ".")
	if k != public || len(parts) != 3 {
		return false
	}
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	if err := json.Unmarshal(must64(t, parts[1]), &claims); err != nil {
		t.Error(err)
	}
	sum, signature := sha256.Sum256([]byte(parts[0]+"."+parts[1])), must64(t, parts[2])
	until := time.Unix(claims.Exp, 0).Sub(clock.Wall().Now())
	return ecdsa.Verify(&key.PublicKey, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) &&
		claims.Aud == "http://"+r.Host && claims.Sub == "mailto:ops@example.org" && until > 0 && until <= 24*time.Hour
}

func setup(t *testing.T) (browser, *ecdsa.PrivateKey) {
	t.Helper()
	k, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return browser{k, bytes.Repeat([]byte{7}, 16)}, key
}

func TestConformance(t *testing.T) {
	b, key := setup(t)
	notifytest.Run(t, func(t *testing.T) notifytest.Fixture {
		return notifytest.HTTP(t, func(url string) (notify.Notifier, notify.Target) {
			return New(clock.Wall(), key), notify.Target{
				Settings: notify.Settings{WebPush: &notify.WebPush{Contact: "mailto:ops@example.org"}}, Address: b.subscription(url + "/push/1"), Class: notify.Declared,
			}
		}, notifytest.Service{
			Read: func(r *http.Request) notifytest.Delivery {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				n := b.open(t, body)
				ok := verified(t, r, key) && r.Header.Get("Content-Encoding") == "aes128gcm" && r.Header.Get("TTL") != "" && r.Header.Get("Urgency") == "high" &&
					len(r.Header.Get("Topic")) == 32 && n.URL == "https://flyball.example/incidents/1"
				return notifytest.Delivery{ID: n.ID, Body: []byte(n.Title), Authentic: ok}
			},
			Status: http.StatusCreated,
		})
	})
}

// However long a message is, what is pushed fits.
func TestLongMessage(t *testing.T) {
	m := notify.Message{ID: "a", Text: notify.Text{
		Title: strings.Repeat("ä", 1000), Lines: []string{strings.Repeat("<ö>", 5000)},
		Links: []notify.Link{{Act: "acknowledge", Label: "Acknowledge", URL: "https://f.example/act/t"}},
	}}
	var n Notification
	b := notification(m)
	if err := json.Unmarshal(b, &n); err != nil || len(b) > maxPlain || len(n.Actions) != 1 || n.Body == "" {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	m.Text.Links[0].URL = "https://" + strings.Repeat("x", 10_000)
	if b := notification(m); len(b) > maxPlain {
		t.Errorf("%d bytes", len(b))
	}
}
