package notify

// The kinds of channel, as they are called in files.
const (
	KindWebhook  = "webhook"
	KindSMTP     = "smtp"
	KindSlack    = "slack"
	KindTeams    = "teams"
	KindNtfy     = "ntfy"
	KindSMS      = "sms"
	KindVoice    = "voice"
	KindWebPush  = "webpush"
	KindShoutrrr = "shoutrrr"

	KindPagerDuty = "pagerduty"
)

// Settings are those of one channel: exactly one is set. Their JSON is what is
// written in files. Secrets are named by the environment variable of the server
// that holds them, and are nowhere else.
type Settings struct {
	SMTP     *SMTP     `json:"smtp,omitempty"`     // mail
	Slack    *Slack    `json:"slack,omitempty"`    // a Slack app, or one of its incoming webhooks
	Teams    *Teams    `json:"teams,omitempty"`    // a Microsoft Teams workflow
	Ntfy     *Ntfy     `json:"ntfy,omitempty"`     // push by ntfy
	SMS      *Gateway  `json:"sms,omitempty"`      // text messages, by a gateway with Twilio's API
	Voice    *Gateway  `json:"voice,omitempty"`    // telephone calls, by the same
	WebPush  *WebPush  `json:"webpush,omitempty"`  // push to browsers
	Shoutrrr *Shoutrrr `json:"shoutrrr,omitempty"` // anything else that Shoutrrr knows

	PagerDuty *PagerDuty `json:"pagerduty,omitempty"` // a service there, which pages as it is set up to
}

// SMTP is a mail server that takes mail for delivery (RFC 5321, 6409).
type SMTP struct {
	Host        string `json:"host"`
	Port        int    `json:"port,omitempty"`        // default 587, 465 with tls: tls, 25 with tls: none
	From        string `json:"from"`                  // such as "Flyball <flyball@example.org>"
	Username    string `json:"username,omitempty"`    // default: none, no authentication
	PasswordEnv string `json:"passwordEnv,omitempty"` // environment variable
	TLS         string `json:"tls,omitempty"`         // starttls (default), tls or none
	CAFile      string `json:"caFile,omitempty"`      // certificates to trust instead of the system's
}

// Slack is an app's bot, or an incoming webhook of one channel.
type Slack struct {
	TokenEnv         string `json:"tokenEnv,omitempty"`         // of the bot, with chat:write
	WebhookEnv       string `json:"webhookEnv,omitempty"`       // address of an incoming webhook, which is a secret
	SigningSecretEnv string `json:"signingSecretEnv,omitempty"` // of the app, for buttons
	API              string `json:"api,omitempty"`              // default https://slack.com/api
}

// Teams is a workflow "when a Teams webhook request is received".
type Teams struct {
	URLEnv string `json:"urlEnv"` // its address, which is a secret
}

// Ntfy is a server of ntfy.
type Ntfy struct {
	Server   string `json:"server,omitempty"` // default https://ntfy.sh
	TokenEnv string `json:"tokenEnv,omitempty"`
}

// Gateway is an HTTP API for telephones, as Twilio's of 2010-04-01.
type Gateway struct {
	URL        string `json:"url,omitempty"` // default https://api.twilio.com
	AccountSID string `json:"accountSid"`
	TokenEnv   string `json:"tokenEnv"`          // authenticates requests both ways
	From       string `json:"from"`              // number, E.164
	Answers    string `json:"answers,omitempty"` // a Schedule: who calls the number reaches whoever is on call; voice only
}

// WebPush is push to the browsers that people have signed up with (RFC 8030,
// 8291, 8292).
type WebPush struct {
	Contact string `json:"contact"` // whom push services write to when something is wrong: mailto: or https:
}

// Shoutrrr is the address of a service in the notation of that library.
type Shoutrrr struct {
	URLEnv string `json:"urlEnv"` // address, which holds secrets
}

// PagerDuty is an integration of one of its services, for the Events API v2.
type PagerDuty struct {
	RoutingKeyEnv string `json:"routingKeyEnv"` // of the integration
	URL           string `json:"url,omitempty"` // default https://events.pagerduty.com; in the EU https://events.eu.pagerduty.com
}

// Kind is the kind of channel; a webhook when nothing is set, and empty when
// more than one is.
func (s Settings) Kind() string {
	kind := ""
	for name, set := range map[string]bool{
		KindSMTP: s.SMTP != nil, KindSlack: s.Slack != nil, KindTeams: s.Teams != nil, KindNtfy: s.Ntfy != nil,
		KindSMS: s.SMS != nil, KindVoice: s.Voice != nil, KindWebPush: s.WebPush != nil, KindShoutrrr: s.Shoutrrr != nil, KindPagerDuty: s.PagerDuty != nil,
	} {
		if set && kind != "" {
			return ""
		}
		if set {
			kind = name
		}
	}
	if kind == "" {
		return KindWebhook
	}
	return kind
}

// Deduplicates reports whether the receiver drops a message it has seen, by its
// identifier: webhooks do by their contract, mail systems by the Message-ID, Slack
// by a bot's client_msg_id, PagerDuty by the dedup_key. What others get twice is
// counted.
func (s Settings) Deduplicates() bool {
	return s.Kind() == KindWebhook || s.SMTP != nil || s.PagerDuty != nil || s.Slack != nil && s.Slack.TokenEnv != ""
}
