package alert

const maxBytes = 512 << 20 // of all that fires

// fits refuses what would be too much to remember, while it is.
func (i *Intake) fits(work []step) error {
	fresh, more := 0, 0
	for _, s := range work {
		if s.act != Trigger {
			continue
		}
		l := i.live[s.fired.Alert]
		if l == nil {
			fresh++
			more += weigh(s.fired)
		} else {
			more += max(0, weigh(s.fired)-l.bytes)
		}
	}
	most := i.MaxBytes
	if most == 0 {
		most = maxBytes
	}
	switch {
	case len(i.live)+fresh > MaxLive:
		return unavailable("%d alerts fire already; with these it were more than %d", len(i.live), MaxLive)
	case more > 0 && i.held+more > most:
		return unavailable("the alerts that fire hold %d bytes already; with these it were more than %d", i.held, most)
	}
	return nil
}

// weigh is about how many bytes an alert takes in memory.
func weigh(f Fired) int {
	n := 500 + len(f.Alert) + len(f.Explanation) + len(f.Key) + len(f.URL) + len(f.Runbook)
	for _, l := range f.Links {
		n += 32 + len(l.Text) + len(l.URL)
	}
	for _, set := range []map[string]string{f.Labels, f.Annotations} {
		for name, value := range set {
			n += 32 + len(name) + len(value)
		}
	}
	return n
}

// put remembers an alert, anew when it was changed.
func (i *Intake) put(id string, l *live) {
	i.drop(id)
	l.bytes = weigh(l.fired)
	i.live[id] = l
	i.held += l.bytes
}

func (i *Intake) drop(id string) {
	if l := i.live[id]; l != nil {
		i.held -= l.bytes
		delete(i.live, id)
	}
}
