// Package artifact knows what builds made: OCI images by digest, each built
// once from one commit and never rebuilt. What passed the tests is what runs.
//
// The image itself is kept by port/image (adapter/ocilayout); this package
// keeps the facts: which run of which change made it.
package artifact
