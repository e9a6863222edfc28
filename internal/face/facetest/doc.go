// Package facetest holds what every list of operations must pass: that route,
// OpenAPI document, command and permission of each say the same thing.
//
// The app's test hands Agree the real list; a subject can hand it its own.
package facetest
