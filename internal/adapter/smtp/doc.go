// Package smtp sends mail by a mail server: port/notify's adapter for mail.
//
// message.go writes the mail (RFC 5322, 2045): plain text and HTML with the same
// words, links that act first, a Message-ID made of the message's identifier so
// that mail systems drop what they have, and the headers that keep automatic
// replies away (RFC 3834). send.go speaks to the server (RFC 5321): STARTTLS
// (RFC 3207) or TLS from the start (RFC 8314), AUTH PLAIN (RFC 4616), and a
// deadline over all of it.
package smtp
