package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// The headers of Standard Webhooks.
const (
	HeaderID        = "Webhook-Id"
	HeaderTimestamp = "Webhook-Timestamp" // Unix seconds of the attempt
	HeaderSignature = "Webhook-Signature" // "v1," and base64; several separated by spaces
)

// secretPrefix marks a signing secret; base64 follows.
const secretPrefix = "whsec_"

// Tolerance is how far a timestamp may be from the verifier's clock.
const Tolerance = 5 * time.Minute

// decodeSecret reads whsec_BASE64, of 24 to 64 bytes as the specification asks.
func decodeSecret(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(secret), secretPrefix))
	if err != nil || len(key) < 24 || len(key) > 64 {
		// The value is not in the message: it may be nearly right.
		return nil, problem.New(problem.Invalid, "webhook.secret", "the signing secret is not %s and 24 to 64 bytes in base64", secretPrefix).
			WithNext("make one: echo %s$(head -c 32 /dev/urandom | base64)", secretPrefix)
	}
	return key, nil
}

// Sign is the value of the signature header for one attempt.
func Sign(secret, id string, at time.Time, body []byte) (string, error) {
	key, err := decodeSecret(secret)
	if err != nil {
		return "", err
	}
	return "v1," + base64.StdEncoding.EncodeToString(mac(key, id, strconv.FormatInt(at.Unix(), 10), body)), nil
}

func mac(key []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return h.Sum(nil)
}

// Verify checks that a request's headers and body were signed with the secret,
// at most Tolerance from now. It fails with problem.Denied.
func Verify(secret string, h http.Header, body []byte, now time.Time) error {
	key, err := decodeSecret(secret)
	if err != nil {
		return err
	}
	id, timestamp := h.Get(HeaderID), h.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if id == "" || err != nil {
		return problem.New(problem.Denied, "webhook.verify", "%s or %s is missing or malformed", HeaderID, HeaderTimestamp)
	}
	if age := now.Sub(time.Unix(seconds, 0)).Abs(); age > Tolerance {
		return problem.New(problem.Denied, "webhook.verify", "the message is %s away from this clock; at most %s is accepted", age.Round(time.Second), Tolerance)
	}
	want := mac(key, id, timestamp, body)
	for s := range strings.FieldsSeq(h.Get(HeaderSignature)) {
		version, signature, _ := strings.Cut(s, ",")
		got, err := base64.StdEncoding.DecodeString(signature)
		if version == "v1" && err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return problem.New(problem.Denied, "webhook.verify", "no signature fits the message")
}
