package pagerduty

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/kernel/clock"
	"github.com/flyball-dev/flyball/internal/kernel/problem"
)

// DefaultAPI is the address of PagerDuty's REST API.
const DefaultAPI = "https://api.pagerduty.com"

// API reads an account by PagerDuty's REST API v2.
type API struct {
	URL   string // such as DefaultAPI
	Token string // an API key; read-only is enough
	Clock clock.Clock
	HTTP  *http.Client // nil: one with a timeout of 30 s
}

// Ref is a reference to something of PagerDuty's.
type Ref struct {
	ID      string `json:"id"`
	Type    string `json:"type"` // such as user_reference
	Summary string `json:"summary"`
}

// User is somebody with a login.
type User struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	TimeZone string `json:"time_zone"`
}

// Schedule is who is on call when. Layers are in the API's order: what goes over
// the others first.
type Schedule struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"`
	Description string  `json:"description"`
	TimeZone    string  `json:"time_zone"`
	Layers      []Layer `json:"schedule_layers"`
	Overrides   []Override
}

// Layer is one rotation.
type Layer struct {
	Name         string     `json:"name"`
	Start        time.Time  `json:"start"`
	End          *time.Time `json:"end"`
	VirtualStart time.Time  `json:"rotation_virtual_start"`
	TurnSeconds  int64      `json:"rotation_turn_length_seconds"`
	Users        []struct {
		User Ref `json:"user"`
	} `json:"users"`
	Restrictions []Restriction `json:"restrictions"`
}

// Restriction is hours in which a layer is on call.
type Restriction struct {
	Type     string `json:"type"`              // daily_restriction or weekly_restriction
	From     string `json:"start_time_of_day"` // 08:00:00
	Seconds  int    `json:"duration_seconds"`
	StartDay int    `json:"start_day_of_week"` // of a weekly one: 1 is Monday
}

// Override is somebody standing in.
type Override struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	User  Ref       `json:"user"`
}

// Policy is whom to page, and whom next.
type Policy struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Loops       int    `json:"num_loops"`
	Rules       []struct {
		Minutes int   `json:"escalation_delay_in_minutes"`
		Targets []Ref `json:"targets"`
	} `json:"escalation_rules"`
}

// Service is something people are paged for.
type Service struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Policy Ref    `json:"escalation_policy"`
	Teams  []Ref  `json:"teams"`
}

// Account is what an import reads.
type Account struct {
	Users     []User
	Schedules []Schedule
	Policies  []Policy
	Services  []Service
}

// Bounds of an import.
const (
	pageSize  = 100
	maxPages  = 100 // the API gives no more than 10,000 of anything
	maxAnswer = 16 << 20
	maxTries  = 8
	usualWait = 30 * time.Second
	maxWait   = 5 * time.Minute
)

// Read reads users, schedules with their overrides of the coming year, policies
// and services.
func (a *API) Read(ctx context.Context) (out Account, err error) {
	if out.Users, err = all[User](ctx, a, "users"); err != nil {
		return out, err
	}
	listed, err := all[Schedule](ctx, a, "schedules")
	if err != nil {
		return out, err
	}
	now := a.Clock.Now().UTC()
	span := url.Values{"since": {now.Format(time.RFC3339)}, "until": {now.AddDate(1, 0, 0).Format(time.RFC3339)}}
	for _, s := range listed {
		var one struct {
			Schedule Schedule `json:"schedule"`
		}
		if err := a.get(ctx, "/schedules/"+url.PathEscape(s.ID), nil, &one); err != nil {
			return out, err
		}
		var over struct {
			Overrides []Override `json:"overrides"`
		}
		if err := a.get(ctx, "/schedules/"+url.PathEscape(s.ID)+"/overrides", span, &over); err != nil {
			return out, err
		}
		one.Schedule.Overrides = over.Overrides
		out.Schedules = append(out.Schedules, one.Schedule)
	}
	if out.Policies, err = all[Policy](ctx, a, "escalation_policies"); err != nil {
		return out, err
	}
	out.Services, err = all[Service](ctx, a, "services")
	return out, err
}

// all reads every page of a list.
func all[T any](ctx context.Context, a *API, what string) ([]T, error) {
	var out []T
	for page := range maxPages {
		var answer map[string]json.RawMessage
		q := url.Values{"limit": {strconv.Itoa(pageSize)}, "offset": {strconv.Itoa(page * pageSize)}}
		if err := a.get(ctx, "/"+what, q, &answer); err != nil {
			return nil, err
		}
		var items []T
		if err := json.Unmarshal(answer[what], &items); err != nil {
			return nil, problem.New(problem.Invalid, "pagerduty.import", "what /%s answers is no list: %w", what, err)
		}
		out = append(out, items...)
		if string(answer["more"]) != "true" {
			return out, nil
		}
	}
	return nil, problem.New(problem.Invalid, "pagerduty.import", "there are more than %d %s", maxPages*pageSize, what)
}

// get asks once more, and again, while PagerDuty says that it is asked too often.
func (a *API) get(ctx context.Context, path string, q url.Values, out any) error {
	for try := 1; ; try++ {
		wait, err := a.try(ctx, path, q, out)
		if wait == 0 || try == maxTries {
			return err
		}
		if err := clock.Sleep(ctx, a.Clock, min(wait, maxWait)); err != nil {
			return err
		}
	}
}

// try asks once. wait is how long to wait before asking again; zero: not at all.
func (a *API) try(ctx context.Context, path string, q url.Values, out any) (wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(a.URL, "/")+path+"?"+q.Encode(), nil)
	if err != nil {
		return 0, problem.New(problem.Invalid, "pagerduty.import", "the address of the API is malformed: %w", err)
	}
	req.Header.Set("Accept", "application/vnd.pagerduty+json;version=2")
	req.Header.Set("Authorization", "Token token="+a.Token)
	client := a.HTTP
	if client == nil {
		client = &http.Client{Timeout: usualWait}
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, problem.New(problem.Unavailable, "pagerduty.import", "PagerDuty cannot be reached: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case err != nil:
		return 0, problem.New(problem.Unavailable, "pagerduty.import", "the answer to %s did not arrive whole: %w", path, err)
	case res.StatusCode == http.StatusTooManyRequests:
		wait = usualWait
		for _, name := range []string{"Retry-After", "Ratelimit-Reset"} {
			if n, err := strconv.Atoi(res.Header.Get(name)); err == nil && n > 0 {
				wait = time.Duration(n) * time.Second
				break
			}
		}
		return wait, problem.New(problem.Unavailable, "pagerduty.import", "PagerDuty is asked too often")
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden:
		return 0, problem.New(problem.Denied, "pagerduty.import", "PagerDuty does not accept the token for %s (%d)", path, res.StatusCode).
			WithNext("make an API key at PagerDuty: Integrations, API Access Keys; read-only is enough")
	case res.StatusCode != http.StatusOK:
		return 0, problem.New(problem.Unavailable, "pagerduty.import", "PagerDuty answers %s with %d: %s", path, res.StatusCode, clip(string(body), 200))
	}
	if err := json.Unmarshal(body, out); err != nil {
		return 0, problem.New(problem.Invalid, "pagerduty.import", "the answer to %s cannot be read: %w", path, err)
	}
	return 0, nil
}

// String is the account in numbers.
func (a Account) String() string {
	return fmt.Sprintf("%d users, %d schedules, %d escalation policies, %d services", len(a.Users), len(a.Schedules), len(a.Policies), len(a.Services))
}
