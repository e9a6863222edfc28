package alert

import "time"

// The facts of this room. Alerts of an integration are in the stream
// alert/INTEGRATION, about the subject alert/ID.
const (
	EventFired        = "alert.fired"        // data is Fired; also recorded by objectives, in the fields they share
	EventResolved     = "alert.resolved"     // data is Fired
	EventAcknowledged = "alert.acknowledged" // data is Fired or Said: a person saw it
	EventSnoozed      = "alert.snoozed"      // data is Said: it pages nobody until SnoozedUntil

	EventIntegrationCreated = "integration.created" // data is Integration; stream integration/NAME
	EventIntegrationRevoked = "integration.revoked" // data is Integration

	EventChangeReported = "change.reported" // data is ChangeReport: somebody's own tools changed something

	EventSilenceCreated = "silence.created" // data is Silence; stream silence/ID
	EventSilenceExpired = "silence.expired" // data is Silence
)

// Fired says that an alert began, ended or was seen.
type Fired struct {
	Alert        string            `json:"alert"` // INTEGRATION/FINGERPRINT
	Integration  string            `json:"integration"`
	Fingerprint  string            `json:"fingerprint"`
	Service      string            `json:"service"`
	Team         string            `json:"team"`
	Environment  string            `json:"environment"`
	Severity     string            `json:"severity"`             // page, ticket, or none while suppressed
	Urgency      string            `json:"urgency"`              // page or ticket: what it is once nothing holds it back
	Suppressed   []string          `json:"suppressed,omitempty"` // silences that hold it back, maintenance/WINDOW, snooze
	Route        *Routed           `json:"route,omitempty"`      // what rules made of it
	SnoozedUntil time.Time         `json:"snoozed_until,omitzero"`
	Explanation  string            `json:"explanation"` // one line for a person
	Labels       map[string]string `json:"labels,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Key          string            `json:"key,omitempty"` // the sender's own
	StartsAt     time.Time         `json:"starts_at"`
	EndsAt       time.Time         `json:"ends_at,omitzero"` // unless said again
	URL          string            `json:"url,omitempty"`
	Links        []Link            `json:"links,omitempty"`
	Runbook      string            `json:"runbook,omitempty"`
	Elsewhere    bool              `json:"elsewhere,omitempty"` // its sender pages people itself
	Reason       string            `json:"reason,omitempty"`    // why it ended
}
