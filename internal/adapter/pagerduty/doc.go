// Package pagerduty hands pages to PagerDuty, which pages people as it is set up
// to: port/notify's adapter for its Events API v2
// (https://developer.pagerduty.com/docs/events-api-v2/overview/).
//
// An incident of Flyball's is one incident there: its name is the dedup_key, so
// that what is sent twice changes nothing, and what was acknowledged or
// resolved here is acknowledged or resolved there. The way back, and what is
// copied from PagerDuty's REST API, are in import.go and internal/face/ingest.
package pagerduty
