package workload

import (
	"bytes"
	"encoding/base64"
	"io"
	"slices"
	"strings"
)

// Masked stands in logs where a secret stood.
const Masked = "***"

// minSecret is the length below which a line of a secret is not masked: hiding
// every "1" would destroy logs without keeping anything secret.
const minSecret = 3

// Mask knows what must not appear in logs.
type Mask struct {
	secrets [][]byte // longest first
}

// NewMask masks each value, each line of a value that has several, and each
// value in base64.
func NewMask(values []string) *Mask {
	seen := map[string]bool{}
	m := &Mask{}
	add := func(s string) {
		if len(s) >= minSecret && !seen[s] {
			seen[s] = true
			m.secrets = append(m.secrets, []byte(s))
		}
	}
	for _, v := range values {
		trimmed := strings.TrimSpace(v)
		add(v)
		add(trimmed)
		for line := range strings.Lines(trimmed) {
			add(strings.TrimSpace(line))
		}
		if len(trimmed) >= minSecret {
			add(base64.StdEncoding.EncodeToString([]byte(v)))
			add(base64.RawURLEncoding.EncodeToString([]byte(v)))
		}
	}
	slices.SortFunc(m.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return m
}

// Text masks a whole text.
func (m *Mask) Text(s string) string {
	var b strings.Builder
	w := m.Writer(&b)
	io.WriteString(w, s)
	w.Close()
	return b.String()
}

// Writer masks what is written to it, secrets that are split between writes
// included: it holds back what may be the beginning of one until more comes or
// Close. Closing does not close w.
func (m *Mask) Writer(w io.Writer) io.WriteCloser { return &maskWriter{mask: m, out: w} }

type maskWriter struct {
	mask *Mask
	out  io.Writer
	held []byte
}

func (w *maskWriter) Write(p []byte) (int, error) {
	w.held = append(w.held, p...)
	clean, rest := w.mask.split(w.held, false)
	w.held = slices.Clone(rest)
	if _, err := w.out.Write(clean); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (w *maskWriter) Close() error {
	clean, _ := w.mask.split(w.held, true)
	w.held = nil
	_, err := w.out.Write(clean)
	return err
}

// split masks data up to where a secret may begin that data does not show
// whole; with final there is nothing to come.
func (m *Mask) split(data []byte, final bool) (clean, rest []byte) {
	if len(m.secrets) == 0 {
		return data, nil
	}
	for len(data) > 0 {
		hit, wait := m.at(data, final)
		switch {
		case wait:
			return clean, data
		case hit > 0:
			clean = append(clean, Masked...)
			data = data[hit:]
		default:
			clean = append(clean, data[0])
			data = data[1:]
		}
	}
	return clean, nil
}

// at is the length of the longest secret data begins with. wait is true if a
// longer one may be beginning.
func (m *Mask) at(data []byte, final bool) (hit int, wait bool) {
	for _, s := range m.secrets {
		if !final && len(data) < len(s) && bytes.HasPrefix(s, data) {
			return 0, true
		}
		if bytes.HasPrefix(data, s) {
			return len(s), false
		}
	}
	return 0, false
}
