package web

import (
	"net/http"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/feedback/channel"
)

// pushBody is the page on which a browser signs up for push.
type pushBody struct {
	Lead     string
	Key      string
	Channels []string
	Refused  string
}

// push lets the reader's browser sign up for pages.
func (s *site) push(v *visit) (page, error) {
	b := pushBody{Lead: "Pages in this browser.", Key: s.o.PushKey}
	specs, entries, err := catalog.List[channel.Spec](v.ctx, v.reader, channel.Kind)
	if err != nil {
		return page{}, err
	}
	for i, spec := range specs {
		if spec.WebPush != nil {
			b.Channels = append(b.Channels, entries[i].Metadata.Name)
		}
	}
	if b.Key == "" {
		b.Channels = nil
	}
	if !s.canEver(v, "channel.subscribe") {
		b.Refused = "Sign in to have pages pushed to this browser."
	}
	return page{Template: "push", Title: "Push", Section: "oncall", Body: b}, nil
}

// pushWorker serves the script that shows what is pushed. It stands at the root,
// since a worker answers for the pages below its own address only.
func (s *site) pushWorker(w http.ResponseWriter, _ *http.Request) {
	body, err := staticFiles.ReadFile("static/push-worker.js")
	if err != nil {
		http.Error(w, "a file is missing from this build", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(body)
}
