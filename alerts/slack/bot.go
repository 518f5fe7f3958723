package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/post"
	"github.com/ghosteam/upkeep/alerts/internal/wording"
	"github.com/ghosteam/upkeep/runner"
)

// afterToken is how long to wait at least after a refused token.
const afterToken = 5 * time.Minute

// place is where a message of a bot is.
type place struct{ channel, ts string }

// String is the receipt of a message; placeOf reads it.
func (p place) String() string { return "channel " + p.channel + " ts " + p.ts }

// receipt matches what String writes.
var receipt = regexp.MustCompile(`^channel ([A-Z0-9]{1,40}) ts ([0-9]{1,20}\.[0-9]{1,10})(?:; .*)?$`)

// placeOf reads a receipt; ok is false for that of another kind of channel.
func placeOf(text string) (p place, ok bool) {
	found := receipt.FindStringSubmatch(text)
	if found == nil {
		return place{}, false
	}
	return place{channel: found[1], ts: found[2]}, true
}

// answer is what the Web API says.
type answer struct {
	OK      bool   `json:"ok"`
	Error   string `json:"error"`
	Channel string `json:"channel"`
	TS      string `json:"ts"`
	Needed  string `json:"needed"`
}

// apiError is a no of the Web API; the error below it steers.
type apiError struct {
	word string
	err  error
}

func (e *apiError) Error() string { return e.err.Error() }
func (e *apiError) Unwrap() error { return e.err }

// gone are the words for an opening that is no longer there or cannot be
// changed; what follows can still be told.
func gone(err error) (word string, is bool) {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		return "", false
	}
	return e.word, slices.Contains([]string{
		"message_not_found", "thread_not_found", "cannot_reply_to_message", "invalid_thread_ts", "cant_update_message",
		"edit_window_closed", "channel_not_found", "is_inactive", "is_archived",
	}, e.word)
}

// talk posts as a bot. Of an incident's later messages it changes the opening
// first, which may be repeated, and posts last, which should not be.
func (c *Channel) talk(ctx context.Context, m alerts.Message) (string, error) {
	out := c.addressed(m)
	opening, threaded := placeOf(m.ThreadReceipt)
	note := ""
	if threaded {
		out.Metadata.EventPayload["opening"] = wording.Line(m.Thread)
		_, err := c.call(ctx, "chat.update", c.changed(m, opening))
		word, lost := gone(err)
		switch {
		case lost:
			note = "; the first message could not be changed: " + word
		case err != nil:
			return "", err
		}
		if !lost || word == "cant_update_message" || word == "edit_window_closed" {
			out.Channel, out.ThreadTS = opening.channel, opening.ts
			out.Broadcast = m.Action == runner.NoticeWorse || m.Action == runner.NoticeRepeat
		}
	}
	at, err := c.call(ctx, "chat.postMessage", out)
	if word, lost := gone(err); lost && out.ThreadTS != "" {
		note = "; it could not be added to the thread: " + word
		out.Channel, out.ThreadTS, out.Broadcast = c.o.Channel, "", false
		at, err = c.call(ctx, "chat.postMessage", out)
	}
	if err != nil {
		return "", err
	}
	if _, ok := placeOf(at.String()); !ok {
		return "accepted, Slack did not say where" + note, nil
	}
	return c.client.Scrub(at.String() + note), nil
}

// addressed is the message of a bot that begins a conversation.
func (c *Channel) addressed(m alerts.Message) message {
	out := c.calling(m, compose(m))
	out.Channel = c.o.Channel
	out.Parse, out.LinkNames = "none", new(bool)
	out.Metadata = &metadata{EventType: "upkeep_notice", EventPayload: map[string]string{"notice": wording.Line(m.ID), "action": string(m.Action)}}
	return out
}

// changed is how the first message of an incident shows from now on.
func (c *Channel) changed(m alerts.Message, opening place) message {
	now := m
	now.ID = "now/" + m.ID // a changed message wants new identities for its blocks
	if m.Incident != nil {
		now.Title = m.Incident.Title
	}
	if len(now.Failures) == 0 {
		now.Failures = m.Was
	}
	out := compose(now)
	out.Channel, out.TS = opening.channel, opening.ts
	out.Parse, out.LinkNames = "none", new(bool)
	out.UnfurlLinks, out.UnfurlMedia = nil, nil // chat.update knows neither
	return out
}

// call asks a method of the Web API.
func (c *Channel) call(ctx context.Context, method string, m message) (place, error) {
	text, err := encode(m)
	if err != nil {
		return place{}, err
	}
	header := jsonHeader()
	header.Set("Authorization", "Bearer "+c.o.Token.Reveal())
	a, err := c.client.Do(ctx, post.Request{Method: http.MethodPost, URL: strings.TrimSuffix(c.o.APIURL, "/") + "/" + method, Header: header, Body: text})
	if err != nil {
		return place{}, err
	}
	said, err := read(a.Body)
	switch {
	case a.Status == http.StatusOK && err == nil && said.OK:
		return place{said.Channel, said.TS}, nil
	case a.Status == http.StatusOK && err != nil:
		return place{}, c.client.Refused(a, post.Refusal{Why: "this is not what Slack answers to " + method, Hint: "is api_url right, and does nothing in between answer in Slack's place?"})
	case err != nil || said.Error == "":
		return place{}, c.client.Refused(a, post.Refusal{Forever: a.Status == http.StatusForbidden || a.Status == http.StatusNotFound || a.Status == http.StatusGone})
	}
	refusal := refusedCall(said)
	refusal.Why = strings.TrimSpace(method + ": " + said.Error + " " + refusal.Why)
	return place{}, &apiError{said.Error, c.client.Refused(a, refusal)}
}

// read understands an answer of the Web API.
func read(body []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return a, nil
}

// refusedCall judges a word of the Web API. Those that are not listed are
// tried again: https://docs.slack.dev/reference/methods/chat.postMessage.
func refusedCall(a answer) post.Refusal {
	switch a.Error {
	case "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "not_allowed_token_type", "no_permission":
		return post.Refusal{After: afterToken, Hint: "check token; the message waits, and a new token is used without a restart"}
	case "missing_scope":
		return post.Refusal{After: afterToken, Why: a.Needed, Hint: "give the app the scope chat:write and install it anew"}
	case "not_in_channel":
		return post.Refusal{After: time.Minute, Hint: "invite the bot to the channel: /invite"}
	case "channel_not_found":
		return post.Refusal{Forever: true, Hint: "write the ID of the channel under channel, and invite the bot when it is private"}
	case "no_text", "invalid_payload", "invalid_blocks", "invalid_blocks_format", "invalid_attachments", "too_many_attachments",
		"msg_too_long", "msg_blocks_too_long", "invalid_arguments", "invalid_arg_name", "invalid_array_arg", "invalid_charset", "invalid_json",
		"json_not_object", "invalid_metadata_format", "invalid_metadata_schema", "metadata_too_large", "is_archived", "restricted_action",
		"restricted_action_read_only_channel", "restricted_action_thread_only_channel", "message_not_found", "thread_not_found",
		"cannot_reply_to_message", "invalid_thread_ts", "cant_update_message", "edit_window_closed", "channel_type_not_supported":
		return post.Refusal{Forever: true}
	}
	return post.Refusal{}
}
