// Package ingest mounts foreign protocols at their own standard paths, so that
// existing senders of alerts point here unchanged:
//
//   - /api/v2/… and /-/ready: Alertmanager's API v2 (a Prometheus server's
//     alerting section, amtool, Grafana, karma)
//   - /v2/enqueue: PagerDuty's Events API v2
//   - /v2/alerts…: Opsgenie's alerts
//   - /ingest/KEY/alertmanager, /grafana, /alert, /heartbeat: webhooks, whose
//     senders can set nothing but an address
//
// What they say is decoded by pure functions of internal/feedback/alert and
// recorded before it is acknowledged: a 2xx means durable. What cannot be
// taken now is answered 429 or 503 with Retry-After, never 400.
package ingest
