package alertstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// PagerDuty is a stand-in for PagerDuty's Events API v2 inside the test. It
// takes only events that the documentation allows, says of others what
// PagerDuty says, and keeps alerts by their keys. It is not PagerDuty.
type PagerDuty struct {
	*receiver

	// URL takes events with Key.
	URL, Key string

	mu      sync.Mutex
	events  []PageEvent
	changes []PageChange
	alerts  map[string]string
}

// PageEvent is an event as it came.
type PageEvent struct {
	RoutingKey string      `json:"routing_key"`
	Action     string      `json:"event_action"`
	DedupKey   string      `json:"dedup_key"`
	Payload    PagePayload `json:"payload"`
	Client     string      `json:"client"`
	ClientURL  string      `json:"client_url"`
	Links      []PageLink  `json:"links"`
	// Text is all texts of the event.
	Text string `json:"-"`
}

// PageChange is a change event as it came.
type PageChange struct {
	RoutingKey string `json:"routing_key"`
	Payload    struct {
		Summary   string         `json:"summary"`
		Timestamp string         `json:"timestamp"`
		Source    string         `json:"source"`
		Details   map[string]any `json:"custom_details"`
	} `json:"payload"`
	Links []PageLink `json:"links"`
}

// PagePayload is what an event is about.
type PagePayload struct {
	Summary   string         `json:"summary"`
	Source    string         `json:"source"`
	Severity  string         `json:"severity"`
	Timestamp string         `json:"timestamp"`
	Component string         `json:"component"`
	Group     string         `json:"group"`
	Class     string         `json:"class"`
	Details   map[string]any `json:"custom_details"`
}

// PageLink is shown with an alert.
type PageLink struct {
	Href string `json:"href"`
	Text string `json:"text"`
}

// NewPagerDuty starts a stand-in that ends with the test.
func NewPagerDuty(t testing.TB) *PagerDuty {
	t.Helper()
	p := &PagerDuty{Key: "e93facc04764012d7bfb002500d5d1a6", alerts: map[string]string{}}
	p.receiver = newReceiver(t, Trusted, false, p.handle)
	p.URL = p.base + "/v2/enqueue"
	return p
}

// Events returns what was taken, oldest first.
func (p *PagerDuty) Events() []PageEvent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// Changes returns the change events that were taken, oldest first.
func (p *PagerDuty) Changes() []PageChange {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.changes)
}

// change takes a change event:
// https://developer.pagerduty.com/docs/send-change-events.
func (p *PagerDuty) change(body []byte, header map[string]string) response {
	var e PageChange
	err := strict(body, &e)
	_, wrong := time.Parse(time.RFC3339, e.Payload.Timestamp)
	switch {
	case err != nil:
	case len(body) > 512_000 || e.RoutingKey != p.Key || strings.TrimSpace(e.Payload.Summary) == "" || utf8.RuneCountInString(e.Payload.Summary) > 1024:
		err = fmt.Errorf("a length is incorrect, or 'routing_key'")
	case wrong != nil:
		err = fmt.Errorf("'payload.timestamp' is %q", e.Payload.Timestamp)
	}
	if err != nil {
		text, _ := json.Marshal([]string{err.Error()}) // texts can always be written
		return response{http.StatusBadRequest, header, fmt.Sprintf(`{"status":"invalid event","message":"Event object is invalid","errors":%s}`, text)}
	}
	p.changes = append(p.changes, e)
	return response{http.StatusAccepted, header, `{"status":"success","message":"Change event processed"}`}
}

// Alerts returns how each alert stands, by its key: triggered, acknowledged or
// resolved.
func (p *PagerDuty) Alerts() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.alerts)
}

func (p *PagerDuty) handle(r *http.Request, body []byte) response {
	p.mu.Lock()
	defer p.mu.Unlock()
	header := map[string]string{"Content-Type": "application/json"}
	if r.Method == http.MethodPost && r.URL.Path == "/v2/change/enqueue" {
		return p.change(body, header)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/v2/enqueue" {
		return response{http.StatusNotFound, header, `{"status":"not found"}`}
	}
	var e PageEvent
	err := strict(body, &e)
	if err == nil {
		err = e.check(body, p.Key)
	}
	if err != nil {
		text, _ := json.Marshal([]string{err.Error()}) // texts can always be written
		return response{http.StatusBadRequest, header, fmt.Sprintf(`{"status":"invalid event","message":"Event object is invalid","errors":%s}`, text)}
	}
	var all any
	if err := json.Unmarshal(body, &all); err != nil {
		return response{http.StatusBadRequest, header, `{"status":"invalid event","message":"JSON parse error"}`}
	}
	e.Text = texts(all)
	p.events = append(p.events, e)
	p.apply(e)
	return response{http.StatusAccepted, header, fmt.Sprintf(`{"status":"success","message":"Event processed","dedup_key":%q}`, e.DedupKey)}
}

// apply does to the alert what the event says; what it does not know it drops.
func (p *PagerDuty) apply(e PageEvent) {
	state := p.alerts[e.DedupKey]
	switch {
	case e.Action == "trigger" && state != "acknowledged":
		p.alerts[e.DedupKey] = "triggered"
	case e.Action == "acknowledge" && state == "triggered":
		p.alerts[e.DedupKey] = "acknowledged"
	case e.Action == "resolve" && state != "":
		p.alerts[e.DedupKey] = "resolved"
	}
}

// check looks at all that the documentation limits:
// https://developer.pagerduty.com/docs/send-alert-event.
func (e PageEvent) check(body []byte, key string) error {
	limit := func(name, text string, most int) error {
		if n := utf8.RuneCountInString(text); n > most {
			return fmt.Errorf("'%s' has %d characters, at most %d are allowed", name, n, most)
		}
		return nil
	}
	switch {
	case len(body) > 512_000:
		return fmt.Errorf("the event has %d bytes", len(body))
	case len(e.RoutingKey) != 32:
		return fmt.Errorf("length of 'routing_key' is incorrect (should be 32 characters)")
	case e.RoutingKey != key:
		return fmt.Errorf("'routing_key' %s is not known", e.RoutingKey)
	case !slices.Contains([]string{"trigger", "acknowledge", "resolve"}, e.Action):
		return fmt.Errorf("'event_action' is %q", e.Action)
	case e.DedupKey == "" && e.Action != "trigger":
		return fmt.Errorf("'dedup_key' is missing or blank")
	case strings.TrimSpace(e.Payload.Summary) == "":
		return fmt.Errorf("'payload.summary' is missing or blank")
	case strings.TrimSpace(e.Payload.Source) == "":
		return fmt.Errorf("'payload.source' is missing or blank")
	case !slices.Contains([]string{"critical", "error", "warning", "info"}, e.Payload.Severity):
		return fmt.Errorf("'payload.severity' is %q", e.Payload.Severity)
	}
	if e.Payload.Timestamp != "" {
		if _, err := time.Parse(time.RFC3339, e.Payload.Timestamp); err != nil {
			return fmt.Errorf("'payload.timestamp' is %q", e.Payload.Timestamp)
		}
	}
	for _, l := range e.Links {
		if u, err := url.Parse(l.Href); err != nil || u.Host == "" {
			return fmt.Errorf("'links' holds %q", l.Href)
		}
	}
	if err := limit("payload.summary", e.Payload.Summary, 1024); err != nil {
		return err
	}
	return limit("dedup_key", e.DedupKey, 255)
}
