package channel

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// What a message may let its reader do.
const (
	Acknowledge = "acknowledge"
	Resolve     = "resolve"
)

// ActLife is how long a link that acts works.
const ActLife = 24 * time.Hour

// Act is the permission to do one thing to one incident in one person's name.
// Doing it again changes nothing, so that a link may be followed twice.
type Act struct {
	Does     string `json:"d"` // Acknowledge or Resolve
	Incident string `json:"i"`
	Person   string `json:"p,omitempty"` // empty in a room: whoever presses the button says who they are
	Expires  int64  `json:"e"`           // Unix seconds
}

// Key signs acts. It is kept by the server, and whoever has it may answer every
// page.
type Key []byte

// macSize is enough for a tag that is checked online only, and short enough for
// a text message (RFC 2104, section 5: at least half of the hash).
const macSize = 16

// Seal writes an act so that it cannot be changed.
func (k Key) Seal(a Act) string {
	body, err := json.Marshal(a)
	if err != nil {
		panic("channel: an act cannot be marshalled: " + err.Error()) // strings and a number
	}
	return base64.RawURLEncoding.EncodeToString(append(k.mac(body), body...))
}

func (k Key) mac(body []byte) []byte {
	h := hmac.New(sha256.New, k)
	h.Write([]byte("flyball act 1\x00"))
	h.Write(body)
	return h.Sum(nil)[:macSize]
}

// maxToken bounds what is looked at.
const maxToken = 2000

// Open reads an act that this server has sealed. It fails with problem.Denied
// for one that was not, and with problem.Blocked for one that has expired.
func (k Key) Open(token string, now time.Time) (a Act, err error) {
	forged := problem.New(problem.Denied, "channel.act", "this link was not made by this server, or was changed on its way").
		WithNext("open the incident's page and sign in")
	if len(k) == 0 || len(token) > maxToken {
		return a, forged
	}
	// Strict: one act has one token.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimSpace(token))
	if err != nil || len(raw) <= macSize || !hmac.Equal(raw[:macSize], k.mac(raw[macSize:])) {
		return a, forged
	}
	if err := json.Unmarshal(raw[macSize:], &a); err != nil || a.Does != Acknowledge && a.Does != Resolve || a.Incident == "" {
		return Act{}, forged
	}
	if expires := time.Unix(a.Expires, 0); !now.Before(expires) {
		return a, problem.New(problem.Blocked, "channel.act", "this link worked until %s", expires.UTC().Format("2006-01-02 15:04 MST")).
			WithNext("open the incident's page and sign in: %s", a.Incident)
	}
	return a, nil
}
