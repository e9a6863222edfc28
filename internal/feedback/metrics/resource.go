package metrics

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/flyball-dev/flyball/internal/catalog"
	"github.com/flyball-dev/flyball/internal/kernel/resource"
)

// KindScrapeTarget is the kind of targets that are scraped.
const KindScrapeTarget = "ScrapeTarget"

// Spec says what is scraped, and how. The object's name is the label job.
type Spec struct {
	Service     string            `json:"service,omitempty"`     // whose metrics they are: the label service
	Environment string            `json:"environment,omitempty"` // where: the label environment
	Targets     []string          `json:"targets"`               // host:port, which is the label instance
	Scheme      string            `json:"scheme,omitempty"`      // http (default) or https
	Path        string            `json:"path,omitempty"`        // default /metrics
	Interval    time.Duration     `json:"interval,omitempty"`    // default 30s
	Timeout     time.Duration     `json:"timeout,omitempty"`     // of one scrape; default 10s, at most the interval
	Labels      map[string]string `json:"labels,omitempty"`      // added to every sample
	SampleLimit int               `json:"sampleLimit,omitempty"` // of one scrape, a larger one fails whole; default 50000
	SkipVerify  bool              `json:"skipVerify,omitempty"`  // accept any certificate
}

// Bounds on what is declared.
const (
	maxTargets  = 100 // of one object
	maxLabels   = 20
	maxSamples  = 1_000_000
	minInterval = time.Second
	maxInterval = 4 * time.Minute // a series is held for gone after five
	maxBytes    = 64 << 20        // of one scrape
)

// own is the job under which Flyball's own programs are scraped.
const own = "flyball"

// Kinds declares the room's kind.
func Kinds() []*resource.Kind {
	return []*resource.Kind{resource.Define(KindScrapeTarget, resource.Options[Spec]{
		Summary:  "programs whose metrics are scraped into the metrics store; nothing else is",
		Defaults: defaults, Validate: validate,
	})}
}

func defaults(_ resource.Metadata, s *Spec) {
	s.Scheme = cmp.Or(s.Scheme, "http")
	s.Path = cmp.Or(s.Path, "/metrics")
	s.Interval = cmp.Or(s.Interval, 30*time.Second)
	s.Timeout = cmp.Or(s.Timeout, min(10*time.Second, s.Interval))
	s.SampleLimit = cmp.Or(s.SampleLimit, 50_000)
}

// labelName is a label that PromQL needs no quotes for.
var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,63}$`)

// taken are the labels that say where a sample is from.
var taken = map[string]string{
	"job": "it is the name of the object", "instance": "it is the target", "service": "say it as service", "environment": "say it as environment",
}

func validate(c *resource.Checker, s *Spec) {
	if c.Object.Metadata.Name == own {
		c.Errorf("metadata.name", "reserved", "the job %s is Flyball's own programs; choose another name", own)
	}
	c.Refers("service", catalog.KindService, s.Service)
	c.Refers("environment", catalog.KindEnvironment, s.Environment)
	if len(s.Targets) == 0 || len(s.Targets) > maxTargets {
		c.Errorf("targets", "range", "name 1 to %d targets as host:port, such as [localhost:9100]", maxTargets)
	}
	seen := map[string]bool{}
	for i, t := range s.Targets {
		at := fmt.Sprintf("targets[%d]", i)
		if err := checkAddress(t); err != nil {
			c.Errorf(at, "format", "%s", err)
		}
		if seen[t] {
			c.Errorf(at, "duplicate", "%s is named twice", t)
		}
		seen[t] = true
	}
	if s.Scheme != "http" && s.Scheme != "https" {
		c.Errorf("scheme", "format", "the scheme is http or https, not %q", s.Scheme)
	}
	if !strings.HasPrefix(s.Path, "/") || strings.ContainsAny(s.Path, "?#") {
		c.Errorf("path", "format", "a path begins with / and has neither ? nor #")
	}
	if s.Interval < minInterval || s.Interval > maxInterval || s.Interval%time.Millisecond != 0 {
		c.Errorf("interval", "range", "interval is %s; it must be between %s and %s, so that a series is not held for gone between two scrapes", s.Interval, minInterval, maxInterval)
	}
	if s.Timeout <= 0 || s.Timeout > s.Interval || s.Timeout%time.Millisecond != 0 {
		c.Errorf("timeout", "range", "timeout is %s; it must be positive and at most the interval (%s)", s.Timeout, s.Interval)
	}
	if s.SampleLimit < 1 || s.SampleLimit > maxSamples {
		c.Errorf("sampleLimit", "range", "sampleLimit is %d; it must be between 1 and %d", s.SampleLimit, maxSamples)
	}
	validateLabels(c, s.Labels)
}

func validateLabels(c *resource.Checker, labels map[string]string) {
	if len(labels) > maxLabels {
		c.Errorf("labels", "range", "there are %d labels; the limit is %d", len(labels), maxLabels)
	}
	for name, v := range labels {
		switch {
		case taken[name] != "":
			c.Errorf("labels."+name, "reserved", "the label %s is set by Flyball: %s", name, taken[name])
		case !labelName.MatchString(name) || strings.HasPrefix(name, "__"):
			c.Errorf("labels."+name, "format", "%q is no name of a label: letters, digits and _, not beginning with a digit or __", name)
		case len(v) > 1024:
			c.Errorf("labels."+name, "range", "the value is %d bytes long; the limit is 1024", len(v))
		}
	}
}

// checkAddress checks a host:port.
func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsAny(host, "/@? ") {
		return fmt.Errorf("%q is no target; write host:port, such as localhost:9100", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q has no port between 1 and 65535", address)
	}
	return nil
}
