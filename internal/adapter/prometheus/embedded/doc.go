// Package embedded is Prometheus in this process: its store (TSDB), its query
// engine and its scraping, behind the port metric.
//
// All of Prometheus that Flyball uses is here, so that its interfaces, which
// change, are met in one package:
//
//   - store.go opens the TSDB in a directory, when it is first needed and not
//     before: a server that keeps no metrics pays neither memory nor start;
//   - engine.go and discover.go are the port: PromQL, stored samples, names;
//   - scrape.go scrapes the targets it is told to, and no others;
//   - write.go takes remote write (1.0 and 2.0) and OTLP metrics over HTTP;
//   - api.go answers as Prometheus' HTTP API does, so that Grafana can use
//     Flyball as a data source of the type Prometheus. Its five endpoints are
//     written over the engine rather than mounted from Prometheus, whose NewAPI
//     wants 45 parameters of parts that Flyball does not have.
//
// Everything that comes in is bounded: bodies before and after decompression,
// requests and queries at once, samples and time of a query, samples of a
// scrape, series in all (Limits). What is stored is bounded by age and size.
//
// A write-ahead log that ends in the middle of a record, after a crash, is cut
// where it is whole and the rest is served. A damaged block keeps the store
// from opening: nothing is deleted, the error names the block.
package embedded
