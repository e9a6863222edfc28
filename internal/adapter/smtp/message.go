package smtp

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/port/notify"
)

// compose writes a mail.
func compose(m notify.Message, from *mail.Address, now time.Time) ([]byte, error) {
	var out, parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	// The boundary is the message's own, so that each attempt is the same mail.
	if err := w.SetBoundary("flyball-" + boundary(m.ID)); err != nil {
		return nil, err
	}
	for _, p := range []struct{ kind, text string }{{"text/plain", plain(m.Text)}, {"text/html", rich(m.Text)}} {
		part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {p.kind + "; charset=utf-8"}, "Content-Transfer-Encoding": {"quoted-printable"}})
		if err != nil {
			return nil, err
		}
		q := quotedprintable.NewWriter(part)
		if _, err := io.WriteString(q, p.text); err != nil {
			return nil, err
		}
		if err := q.Close(); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	at := domain(from)
	header := [][2]string{
		{"From", from.String()},
		{"To", (&mail.Address{Address: m.To.Address}).String()},
		{"Subject", mime.QEncoding.Encode("utf-8", m.Text.Title)},
		{"Date", now.Format(time.RFC1123Z)},
		{"Message-ID", "<" + m.ID + "@" + at + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"X-Auto-Response-Suppress", "All"},
		{"MIME-Version", "1.0"},
		{"Content-Type", `multipart/alternative; boundary="` + w.Boundary() + `"`},
	}
	if t := m.Text.Thread; t != "" {
		header = append(header, [2]string{"References", "<" + boundary(t) + "." + "thread@" + at + ">"})
	}
	if l, ok := m.Text.Find("unsubscribe"); ok { // RFC 2369, RFC 8058
		header = append(header, [2]string{"List-Unsubscribe", "<" + l.URL + ">"}, [2]string{"List-Unsubscribe-Post", "List-Unsubscribe=One-Click"})
	}
	if m.Text.Urgency != notify.Low {
		header = append(header, [2]string{"Importance", "high"})
	}
	for _, h := range header {
		fmt.Fprintf(&out, "%s: %s\r\n", h[0], h[1])
	}
	out.WriteString("\r\n")
	out.Write(parts.Bytes())
	return out.Bytes(), nil
}

// boundary is an identifier of letters that a boundary and a message identifier
// may have, short enough for both (RFC 2046: 70 characters).
func boundary(id string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, id)
	return plain[:min(len(plain), 60)]
}

func domain(a *mail.Address) string {
	_, d, _ := strings.Cut(a.Address, "@")
	return d
}

// plain is the text without markup. Links stand on lines of their own.
func plain(t notify.Text) string {
	var b strings.Builder
	b.WriteString(t.Title + "\n\n")
	for _, l := range t.Lines {
		b.WriteString(l + "\n")
	}
	for _, l := range t.Links {
		fmt.Fprintf(&b, "\n%s:\n%s\n", l.Label, l.URL)
	}
	return b.String()
}

// rich is the text as HTML that every mail program shows, in light and dark.
func rich(t notify.Text) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<!doctype html><html><head><meta charset="utf-8"><meta name="color-scheme" content="light dark"><title>%[1]s</title></head><body><h1 style="font-size:18px">%[1]s</h1>`, html.EscapeString(t.Title))
	for _, l := range t.Lines {
		fmt.Fprintf(&b, "<p>%s</p>", html.EscapeString(l))
	}
	for _, l := range t.Links {
		style := ""
		if l.Act != "" {
			style = ` style="display:inline-block;padding:10px 16px;border:2px solid;border-radius:6px;font-weight:bold"`
		}
		fmt.Fprintf(&b, `<p><a href="%s"%s>%s</a></p>`, html.EscapeString(l.URL), style, html.EscapeString(l.Label))
	}
	b.WriteString("</body></html>\n")
	return b.String()
}
