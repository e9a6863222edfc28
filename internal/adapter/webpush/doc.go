// Package webpush pushes to browsers: port/notify's adapter for Web Push.
//
// encrypt.go seals a message for one browser (RFC 8291, in the encoding of RFC
// 8188), vapid.go says to the push service who sends it (RFC 8292), and send.go
// delivers it (RFC 8030). The address of a target is a Subscription as JSON, as a
// browser gives it out; what is pushed is a Notification, which the page's service
// worker shows.
package webpush
