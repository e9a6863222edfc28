package alert

import "strings"

// Link leads from an alert to where more is known.
type Link struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

const maxLinks = 20

// link adds a link, if it is one of the web and there is room.
func (r *Report) link(text, url string) {
	if len(r.Links) >= maxLinks || len(url) > maxReference || !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://") {
		return
	}
	r.Links = append(r.Links, Link{Text: clip(first(text, "link"), maxName), URL: url})
}
