package alertstest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Slack is a stand-in for Slack inside the test: an incoming webhook and the
// methods chat.postMessage and chat.update of the Web API. It takes only what
// the documentation of Slack allows, and says of everything else what Slack
// says. It is not Slack.
type Slack struct {
	*receiver

	// WebhookURL posts to the channel C0HOOK; APIURL is the Web API, whose bot
	// has Token and is a member of Channel, which is also called ops.
	WebhookURL, APIURL, Token, Channel string

	mu         sync.Mutex
	posts      []Post
	complaints []string
}

// Post is a message in a channel of Slack.
type Post struct {
	// Channel, TS and Thread are where it is; Broadcast tells that an answer in a
	// thread shows in the channel too.
	Channel, TS, Thread string
	Broadcast           bool
	SlackMessage
	// Changed counts how often it was changed.
	Changed int
}

// NewSlack starts a stand-in that ends with the test.
func NewSlack(t testing.TB) *Slack {
	t.Helper()
	s := &Slack{Token: "xoxb-12345-67890-secretsecretsecret", Channel: "C024BE91L"}
	s.receiver = newReceiver(t, Trusted, false, s.handle)
	s.WebhookURL = s.base + "/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
	s.APIURL = s.base + "/api"
	return s
}

// Posts returns the messages as they are now, oldest first.
func (s *Slack) Posts() []Post {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.posts)
}

// Complaints returns what was wrong with requests that were refused.
func (s *Slack) Complaints() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.complaints)
}

// Forget removes a message, as people can.
func (s *Slack) Forget(ts string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts = slices.DeleteFunc(s.posts, func(p Post) bool { return p.TS == ts })
}

func (s *Slack) handle(r *http.Request, body []byte) response {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		return s.refuse(http.StatusBadRequest, "invalid_payload", "not JSON by POST")
	}
	method, isAPI := strings.CutPrefix(r.URL.Path, "/api/")
	if !isAPI {
		return s.hook(r, body)
	}
	word, why := s.call(method, r.Header.Get("Authorization"), body)
	if word == "" {
		return response{status: http.StatusOK, header: map[string]string{"Content-Type": "application/json"}, body: why}
	}
	s.complaints = append(s.complaints, word+": "+why)
	return response{
		status: http.StatusOK, header: map[string]string{"Content-Type": "application/json"},
		body: fmt.Sprintf(`{"ok":false,"error":%q,"response_metadata":{"messages":[%q]}}`, word, why),
	}
}

func (s *Slack) refuse(status int, word, why string) response {
	s.complaints = append(s.complaints, word+": "+why)
	return response{status: status, header: map[string]string{"Content-Type": "text/html"}, body: word}
}

// hook is the webhook: plain words for answers.
func (s *Slack) hook(r *http.Request, body []byte) response {
	if !strings.HasSuffix(s.WebhookURL, r.URL.Path) {
		return s.refuse(http.StatusNotFound, "no_service", r.URL.Path)
	}
	var m SlackMessage
	if err := strict(body, &m); err != nil {
		return s.refuse(http.StatusBadRequest, "invalid_payload", err.Error())
	}
	if err := m.check(); err != nil {
		return s.refuse(http.StatusBadRequest, err.word, err.why)
	}
	s.posts = append(s.posts, Post{Channel: "C0HOOK", TS: s.now(), SlackMessage: m})
	return response{status: http.StatusOK, header: map[string]string{"Content-Type": "text/html"}, body: "ok"}
}

// now returns a time stamp that identifies a message.
func (s *Slack) now() string { return fmt.Sprintf("1773451896.%06d", len(s.posts)+1) }

// call is the Web API. It returns a word of refusal and why, or no word and
// what to answer.
func (s *Slack) call(method, authorization string, body []byte) (word, answer string) {
	switch authorization {
	case "Bearer " + s.Token:
	case "":
		return "not_authed", ""
	default:
		return "invalid_auth", ""
	}
	switch method {
	case "chat.postMessage":
		return s.postMessage(body)
	case "chat.update":
		return s.update(body)
	}
	return "unknown_method", method
}

func (s *Slack) postMessage(body []byte) (word, answer string) {
	var m struct {
		SlackMessage
		Channel   string `json:"channel"`
		Thread    string `json:"thread_ts"`
		Broadcast bool   `json:"reply_broadcast"`
		Parse     string `json:"parse"`
		LinkNames bool   `json:"link_names"`
	}
	if err := strict(body, &m); err != nil {
		return "invalid_arguments", err.Error()
	}
	if m.Channel != s.Channel && m.Channel != "ops" && m.Channel != "#ops" {
		return "channel_not_found", m.Channel
	}
	if err := m.check(); err != nil {
		return err.word, err.why
	}
	if m.Parse == "full" || m.LinkNames {
		return "invalid_arguments", "foreign text could mention people"
	}
	if m.Broadcast && m.Thread == "" {
		return "invalid_arguments", "reply_broadcast without thread_ts"
	}
	if m.Thread != "" && s.find(m.Thread) < 0 {
		return "thread_not_found", m.Thread
	}
	ts := s.now()
	s.posts = append(s.posts, Post{Channel: s.Channel, TS: ts, Thread: m.Thread, Broadcast: m.Broadcast, SlackMessage: m.SlackMessage})
	return "", fmt.Sprintf(`{"ok":true,"channel":%q,"ts":%q,"message":{"type":"message","ts":%q}}`, s.Channel, ts, ts)
}

func (s *Slack) update(body []byte) (word, answer string) {
	var m struct {
		SlackUpdate
		Channel   string `json:"channel"`
		TS        string `json:"ts"`
		Parse     string `json:"parse"`
		LinkNames bool   `json:"link_names"`
	}
	if err := strict(body, &m); err != nil {
		return "invalid_arguments", err.Error()
	}
	if m.Channel != s.Channel { // chat.update takes no names
		return "channel_not_found", m.Channel
	}
	changed := SlackMessage{Text: m.Text, Blocks: m.Blocks, Attachments: m.Attachments, Metadata: m.Metadata}
	if err := changed.check(); err != nil {
		return err.word, err.why
	}
	i := s.find(m.TS)
	if i < 0 {
		return "message_not_found", m.TS
	}
	s.posts[i].SlackMessage = changed
	s.posts[i].Changed++
	return "", fmt.Sprintf(`{"ok":true,"channel":%q,"ts":%q,"text":"changed"}`, s.Channel, m.TS)
}

func (s *Slack) find(ts string) int {
	return slices.IndexFunc(s.posts, func(p Post) bool { return p.TS == ts })
}
