package channel

import (
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strings"

	"github.com/flyball-dev/flyball/internal/port/notify"
)

var (
	number = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)     // E.164
	topic  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)    // of ntfy
	room   = regexp.MustCompile(`^[#@A-Za-z0-9_.-]{1,80}$`) // of Slack: a name or an identifier
	person = regexp.MustCompile(`^[^\x00-\x20/]{1,100}$`)
)

// CheckAddress says what is wrong with an address in a channel of a kind.
func CheckAddress(s notify.Settings, to string) error {
	switch s.Kind() {
	case notify.KindSMTP:
		a, err := mail.ParseAddress(to)
		if err != nil || a.Address != to {
			return fmt.Errorf("%q is not a bare mail address, such as ana@example.org", to)
		}
	case notify.KindSMS, notify.KindVoice:
		if !number.MatchString(to) {
			return fmt.Errorf("%q is not a number with its country, such as +4930123456", to)
		}
	case notify.KindNtfy:
		if !topic.MatchString(to) {
			return fmt.Errorf("%q is not a topic of ntfy: up to 64 letters, digits, - and _", to)
		}
	case notify.KindSlack:
		if s.Slack.TokenEnv != "" && !room.MatchString(to) {
			return fmt.Errorf("%q is not a channel or member of Slack, such as C024BE91L or #incidents", to)
		}
		if s.Slack.TokenEnv == "" && to != "" {
			return fmt.Errorf("an incoming webhook writes to its own channel only; leave out to")
		}
	case notify.KindWebPush:
		if !person.MatchString(to) {
			return fmt.Errorf("%q is not the name of a person whose browsers have signed up", to)
		}
	case notify.KindTeams, notify.KindShoutrrr:
		if to != "" {
			return fmt.Errorf("the channel's address says where it goes; leave out to")
		}
	}
	return nil
}

// Mask is an address that its owner recognises and nobody else can use.
func Mask(to string) string {
	if at := strings.LastIndexByte(to, '@'); at > 0 {
		return first(to, 1) + "…" + to[at:]
	}
	if number.MatchString(to) {
		return to[:3] + "…" + to[len(to)-2:]
	}
	if strings.Contains(to, "://") {
		return host(to)
	}
	return first(to, 3) + "…"
}

func first(s string, n int) string {
	r := []rune(s)
	return string(r[:min(n, len(r))])
}

// host is the part of an address that is no secret.
func host(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return "?"
}
