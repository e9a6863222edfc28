package channel

// The facts of this room. Their stream and subject are channel/NAME.
const (
	EventFailed = "channel.failed" // data is Failed: a message was not accepted
	EventTested = "channel.tested" // data is Tested: somebody tried the channel

	EventSubscribed   = "channel.subscribed"   // data is Browser: one has signed up for push
	EventUnsubscribed = "channel.unsubscribed" // data is Browser: it has signed off, or its push service says that it is gone
)

// Failed is a message that a channel did not accept. Whether it is tried again
// is the business of its action.
type Failed struct {
	Channel   string `json:"channel"`
	To        string `json:"to"`      // masked
	Message   string `json:"message"` // identifier
	Error     string `json:"error"`
	Uncertain bool   `json:"uncertain,omitempty"` // it may have arrived all the same
}

// Tested is a message somebody sent to see whether the channel works.
type Tested struct {
	Channel  string `json:"channel"`
	Delivery `json:"delivery"`
}

func stream(channel string) string { return "channel/" + channel }
