package repository

import "strings"

// SplitMessage takes a commit message apart as git does: the first paragraph,
// joined to one line, is the subject, what follows the body, and the body's
// last paragraph the trailers if every line of it is one. See
// git-interpret-trailers(1); unlike git it accepts no paragraph of mixed lines.
func SplitMessage(message string) (subject, body string, trailers []Trailer) {
	message = strings.ToValidUTF8(message, "\uFFFD")
	message = strings.ReplaceAll(message, "\r\n", "\n")
	lines := strings.Split(strings.TrimSpace(message), "\n")
	end := 0
	for end < len(lines) && strings.TrimSpace(lines[end]) != "" {
		lines[end] = strings.TrimSpace(lines[end])
		end++
	}
	subject = strings.Join(lines[:end], " ")
	body = strings.Trim(strings.Join(lines[end:], "\n"), "\n")
	return subject, body, parseTrailers(body)
}

func parseTrailers(body string) []Trailer {
	last := body
	if i := strings.LastIndex(body, "\n\n"); i >= 0 {
		last = body[i+2:]
	}
	var out []Trailer
	for line := range strings.SplitSeq(last, "\n") {
		if cont := strings.TrimLeft(line, " \t"); cont != line && len(out) > 0 {
			out[len(out)-1].Value += " " + strings.TrimSpace(cont)
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || !isTrailerKey(key) {
			return nil
		}
		out = append(out, Trailer{Key: key, Value: strings.TrimSpace(value)})
	}
	return out
}

func isTrailerKey(s string) bool {
	for _, r := range s {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && r != '-' {
			return false
		}
	}
	return s != ""
}
