package smtp

import (
	"bytes"
	"net/mail"
	"testing"
	"time"

	"github.com/flyball-dev/flyball/internal/port/notify"
)

// A mail that one may end has the headers by which mail programs offer that
// with one click (RFC 8058), and no other mail has them.
func TestUnsubscribe(t *testing.T) {
	from := &mail.Address{Address: "status@acme.example"}
	compose := func(links ...notify.Link) mail.Header {
		t.Helper()
		raw, err := compose(notify.Message{ID: "a", To: notify.Target{Address: "ana@example.org"}, Text: notify.Text{Title: "Down", Links: links}}, from, time.Unix(1e9, 0))
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		return m.Header
	}
	const address = "https://flyball.acme.example/status/public/unsubscribe?k=a&s=b"
	h := compose(notify.Link{Label: "Read more", URL: "https://status.acme.example"}, notify.Link{Label: "Unsubscribe", URL: address, Act: "unsubscribe"})
	if h.Get("List-Unsubscribe") != "<"+address+">" || h.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" {
		t.Errorf("headers are %v", h)
	}
	if h := compose(notify.Link{Label: "Acknowledge", URL: "https://x", Act: "acknowledge"}); h.Get("List-Unsubscribe") != "" {
		t.Errorf("a page can be unsubscribed: %v", h)
	}
}
