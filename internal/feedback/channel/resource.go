package channel

import (
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"strings"

	"github.com/flyball-dev/flyball/internal/kernel/resource"
	"github.com/flyball-dev/flyball/internal/port/notify"
)

// Spec is a way to reach people. Exactly one kind of settings is given.
type Spec struct {
	Description string `json:"description,omitempty"` // one line
	notify.Settings
}

// Contact is an address in a channel, or one that is called with a Standard
// Webhooks signature.
type Contact struct {
	Name      string `json:"name,omitempty"`      // by which a person's rules mean it
	Channel   string `json:"channel,omitempty"`   // a Channel
	To        string `json:"to,omitempty"`        // in the channel's own words: mail address, number, topic, user
	URL       string `json:"url,omitempty"`       // instead of a channel: a webhook
	SecretEnv string `json:"secretEnv,omitempty"` // environment variable of the server that holds the webhook's signing secret
}

// Kind is the name of the kind.
const Kind = "Channel"

// kindSchedule is the kind of package oncall, which stands on this one.
const kindSchedule = "Schedule"

// Kinds declares the kinds of this room.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(Kind, resource.Options[Spec]{
		Summary: "a way to reach people: mail, chat, push, text messages, telephone calls", Defaults: defaults, Validate: validate,
	})}
}

func defaults(_ resource.Metadata, s *Spec) {
	if m := s.SMTP; m != nil {
		m.TLS = or(m.TLS, "starttls")
		if m.Port == 0 {
			m.Port = map[string]int{"tls": 465, "none": 25}[m.TLS]
		}
		if m.Port == 0 {
			m.Port = 587
		}
	}
	if s.Slack != nil {
		s.Slack.API = or(s.Slack.API, "https://slack.com/api")
	}
	if s.Ntfy != nil {
		s.Ntfy.Server = or(s.Ntfy.Server, "https://ntfy.sh")
	}
	if s.PagerDuty != nil {
		s.PagerDuty.URL = or(s.PagerDuty.URL, "https://events.pagerduty.com")
	}
	for _, g := range []*notify.Gateway{s.SMS, s.Voice} {
		if g != nil {
			g.URL = or(g.URL, "https://api.twilio.com")
		}
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// kinds is every kind of channel, for messages.
var kinds = strings.Join([]string{notify.KindSMTP, notify.KindSlack, notify.KindTeams, notify.KindNtfy, notify.KindSMS, notify.KindVoice, notify.KindWebPush, notify.KindPagerDuty, notify.KindShoutrrr}, ", ")

func validate(c *resource.Checker, s *Spec) {
	switch s.Kind() {
	case "":
		c.Errorf("", "exclusive", "a channel is of one kind; write one of %s", kinds)
		return
	case notify.KindWebhook:
		c.Errorf("", "required", "say of which kind the channel is: write one of %s (a webhook needs no channel: a contact has a url)", kinds)
	case notify.KindSMTP:
		validateSMTP(c, s.SMTP)
	case notify.KindSlack:
		validateSlack(c, s.Slack)
	case notify.KindTeams:
		variable(c, "teams.urlEnv", s.Teams.URLEnv, true)
	case notify.KindNtfy:
		address(c, "ntfy.server", s.Ntfy.Server)
		variable(c, "ntfy.tokenEnv", s.Ntfy.TokenEnv, false)
	case notify.KindSMS:
		validateGateway(c, "sms", s.SMS)
	case notify.KindVoice:
		validateGateway(c, "voice", s.Voice)
	case notify.KindWebPush:
		if w := s.WebPush.Contact; !strings.HasPrefix(w, "mailto:") && !strings.HasPrefix(w, "https://") {
			c.Errorf("webpush.contact", "format", "push services want to know whom to write to when something is wrong: mailto:… or https://…")
		}
	case notify.KindPagerDuty:
		variable(c, "pagerduty.routingKeyEnv", s.PagerDuty.RoutingKeyEnv, true)
		address(c, "pagerduty.url", s.PagerDuty.URL)
	case notify.KindShoutrrr:
		variable(c, "shoutrrr.urlEnv", s.Shoutrrr.URLEnv, true)
	}
}

func validateSMTP(c *resource.Checker, s *notify.SMTP) {
	if s.Host == "" || strings.ContainsAny(s.Host, "/: ") {
		c.Errorf("smtp.host", "format", "name the mail server, without a port, such as mail.example.org")
	}
	if s.Port < 1 || s.Port > 65535 {
		c.Errorf("smtp.port", "range", "port is %d; it must be between 1 and 65535", s.Port)
	}
	if _, err := mail.ParseAddress(s.From); err != nil {
		c.Errorf("smtp.from", "format", "%q is not a mail address, such as Flyball <flyball@example.org>", s.From)
	}
	if s.TLS != "starttls" && s.TLS != "tls" && s.TLS != "none" {
		c.Errorf("smtp.tls", "enum", "tls is starttls, tls or none, not %q", s.TLS)
	}
	variable(c, "smtp.passwordEnv", s.PasswordEnv, s.Username != "")
	if s.Username != "" && s.TLS == "none" {
		c.Errorf("smtp.tls", "insecure", "without TLS the password would travel in clear; use starttls or tls, or no username")
	}
	if s.Username == "" && s.PasswordEnv != "" {
		c.Errorf("smtp.username", "required", "a password is for a username")
	}
}

func validateSlack(c *resource.Checker, s *notify.Slack) {
	address(c, "slack.api", s.API)
	if (s.TokenEnv == "") == (s.WebhookEnv == "") {
		c.Errorf("slack", "exclusive", "write tokenEnv (a bot, which can write to people and has buttons) or webhookEnv (an incoming webhook of one channel)")
	}
	for path, name := range map[string]string{"slack.tokenEnv": s.TokenEnv, "slack.webhookEnv": s.WebhookEnv, "slack.signingSecretEnv": s.SigningSecretEnv} {
		variable(c, path, name, false)
	}
}

func validateGateway(c *resource.Checker, path string, g *notify.Gateway) {
	address(c, path+".url", g.URL)
	if g.AccountSID == "" || strings.ContainsAny(g.AccountSID, "/?# ") {
		c.Errorf(path+".accountSid", "required", "name the account, such as AC0123…")
	}
	variable(c, path+".tokenEnv", g.TokenEnv, true)
	if !number.MatchString(g.From) {
		c.Errorf(path+".from", "format", "%q is not a number with its country, such as +4930123456", g.From)
	}
	if g.Answers != "" && path == "sms" {
		c.Errorf(path+".answers", "unused", "text messages are not answered by whoever is on call; write it at a voice channel")
		return
	}
	c.Refers(path+".answers", kindSchedule, g.Answers)
}

// variableName is what the names of environment variables look like (POSIX).
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

// variable checks the name of an environment variable, without showing what is
// written there: it may be the secret itself.
func variable(c *resource.Checker, path, name string, required bool) {
	switch {
	case name == "" && required:
		c.Errorf(path, "required", "name the environment variable of the server that holds it; the secret itself has no place in git")
	case name != "" && !variableName.MatchString(name):
		c.Errorf(path, "format", "this is not the name of an environment variable, such as MAIL_PASSWORD; the secret itself has no place in git")
	}
}

// address checks the address of a service.
func address(c *resource.Checker, path, s string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		c.Errorf(path, "format", "%q is not an http or https address", s)
	case u.User != nil || u.RawQuery != "":
		c.Errorf(path, "format", "a secret has no place in git: leave out the credentials in the address")
	}
}

// Check checks a contact: that it is one thing, that its channel is declared,
// and that its address is one of that channel.
func Check(c *resource.Checker, path string, k Contact) {
	switch {
	case k.URL != "" && k.Channel != "":
		c.Errorf(path, "exclusive", "a contact is a channel or a url, not both")
	case k.URL != "":
		if !strings.HasPrefix(k.URL, "http://") && !strings.HasPrefix(k.URL, "https://") {
			c.Errorf(path+".url", "format", "%q is not an http or https address", k.URL)
		}
		if k.To != "" {
			c.Errorf(path+".to", "unused", "a webhook is called at its url; leave out to")
		}
	case k.Channel == "":
		c.Errorf(path, "required", "a contact is a channel, with to, or the url of a webhook")
	default:
		c.Refers(path+".channel", Kind, k.Channel)
		o := c.Set.Find(Kind, k.Channel)
		if o == nil {
			return
		}
		spec, ok := o.Spec.(*Spec)
		if !ok {
			return
		}
		if err := CheckAddress(spec.Settings, k.To); err != nil {
			c.Errorf(path+".to", "format", "%s", err)
		}
		if k.SecretEnv != "" {
			c.Errorf(path+".secretEnv", "unused", "secrets of a channel are named where it is declared")
		}
	}
}

// String is the contact without what others need not know.
func (k Contact) String() string {
	if k.Channel == "" {
		return "webhook at " + host(k.URL)
	}
	if k.To == "" {
		return k.Channel
	}
	return fmt.Sprintf("%s to %s", k.Channel, Mask(k.To))
}
