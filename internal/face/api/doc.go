// Package api serves every operation over HTTP.
//
// New is handed the list of operations; routes, OpenAPI document, decoding,
// permission, audit and idempotency all come from their declarations, so this
// package names no subject. A tour:
//
//   - api.go      what the server is made from, its routes and its limits
//   - call.go     one request: decode, call, encode
//   - invoke.go   one call: permission, audit (operation.called), idempotency key
//   - auth.go     who asks: bearer token, login cookie, or a viewer on this machine
//   - guard.go    host names, overload and slow bodies, before any handler
//   - problem.go  kind of error → HTTP status (RFC 9457), the one place
//   - follow.go   /events, server-sent events whose id is the log position
//   - events.go   the operations on the log itself
//   - openapi.go, schema.go  the OpenAPI 3.1 document
//
// Other faces on the same port (web, foreign protocols) use API.Guard,
// API.Caller and API.Invoke, and so obey the same rules.
package api
