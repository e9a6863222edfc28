// Package channel brings messages to people: by mail, chat, push, text message
// or telephone call.
//
// A Channel is a resource: how mail, Slack or a telephone gateway is reached.
// A Contact is a channel with an address in it, or a signed webhook. A Letter is
// what is to be told, as JSON for programs and as text for people, with its
// contacts in the order in which they are tried. Whoever has something to say
// (a page, a reminder, a status update) makes an action and calls Post.Deliver
// in its Run: the action is what is recorded, gated and tried again, the letter
// only how it travels. What became of it, the Delivery, is the action's result.
//
// A page can be answered where it is read: act.go signs links that acknowledge
// or resolve, for one person and one incident, until they expire.
//
// A tour: resource.go has the kind Channel and Contact, address.go what an
// address of each kind of channel looks like, and how it is written down without
// telling it to everybody; deliver.go sends, lane.go keeps a slow channel from
// holding up the others; act.go is links that act; events.go, state.go and
// operations.go are browsers that have signed up for push, and what was sent,
// refused and repeated.
package channel
