// Package catalog holds the nouns that all subjects share: Service, Team and
// Environment.
//
// A service file of some fifteen lines is enough to start, because what it
// leaves out has a good default:
//
//	apiVersion: flyball.dev/v1
//	kind: Service
//	metadata: {name: checkout}
//	spec:
//	  team: payments
//	  build: go build -o bin/checkout ./cmd/checkout
//	  test: go test ./...
//	  files: [bin/checkout]
//	  run: bin/checkout
//	  ready: /healthz
//	  traffic: 20/s
//	  objectives:
//	    availability: 99.9%
//	    latency: 99% < 300ms
//
// resource.go declares the kinds, state.go folds resource.applied into the
// catalog that everybody reads, and the access package beneath keeps tokens.
package catalog
