// Package metrics knows which targets are scraped into the metrics store, since
// somebody declared them in git, and shows how they are and what the store
// holds. The store itself is behind the port metric.
//
// Resource.go has the kind ScrapeTarget, scrape.go makes jobs of what is
// declared, operations.go shows them. What is scraped is a signal, not an event:
// nothing of it is in the log.
package metrics
