package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// openIncident waits until an incident of the shop is open and the team has
// been paged for it with a severity number of at most that.
func (t *teller) openIncident(ctx context.Context, severity int) (string, error) {
	t.progress.note("waiting for the page")
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var list struct {
		Items []struct {
			Incident string `json:"incident"`
			State    string `json:"state"`
		} `json:"items"`
	}
	if err := t.client.poll(ctx, "/incidents?state=open", &list, func() bool { return len(list.Items) > 0 }); err != nil {
		return "", fmt.Errorf("no incident opened: %w", err)
	}
	name := list.Items[0].Incident
	if _, err := t.pager.paged(ctx, name, severity); err != nil {
		return "", fmt.Errorf("nobody was paged for %s: %w", name, err)
	}
	return name, nil
}

// close has ana acknowledge and resolve an incident.
func (t *teller) close(ctx context.Context, incident, reason string) error {
	if err := t.client.as(ctx, t.ana, nil, "incident", "ack", incident); err != nil {
		return err
	}
	return t.client.as(ctx, t.ana, nil, "incident", "resolve", incident, "--reason="+reason)
}

// resolved closes the incident of the outage. The alert looks back over hours,
// of which this shop has lived minutes, so that it may still fire: then ana is
// told so, and resolves the incident anyway.
func (t *teller) resolved(ctx context.Context, s *Step) (string, error) {
	reason := "the shop no longer needs the inventory to answer: " + t.fix
	err := t.close(ctx, t.incident, reason)
	var no refusal
	if errors.As(err, &no) && strings.Contains(no.message, "--anyway") {
		s.Detail = "at first refused: " + no.message
		err = t.client.as(ctx, t.ana, nil, "incident", "resolve", t.incident, "--anyway", "--reason="+reason)
	}
	if err != nil {
		return "", err
	}
	var i struct {
		State string `json:"state"`
	}
	if err := t.client.get(ctx, "/incidents/"+t.incident, &i); err != nil {
		return "", err
	}
	if i.State != "resolved" {
		return "it is " + i.State, nil
	}
	return "acknowledged and resolved", nil
}
