package alertstest

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"
)

// The shapes of Slack's messages, with the keys that upkeep may use and no
// others: https://docs.slack.dev/reference/block-kit.
type (
	// SlackMessage is what a webhook and chat.postMessage take.
	SlackMessage struct {
		Text        string            `json:"text"`
		Blocks      []SlackBlock      `json:"blocks"`
		Attachments []SlackAttachment `json:"attachments"`
		Metadata    *SlackMetadata    `json:"metadata"`
		UnfurlLinks *bool             `json:"unfurl_links"`
		UnfurlMedia *bool             `json:"unfurl_media"`
	}
	// SlackUpdate is what chat.update takes.
	SlackUpdate struct {
		Text        string            `json:"text"`
		Blocks      []SlackBlock      `json:"blocks"`
		Attachments []SlackAttachment `json:"attachments"`
		Metadata    *SlackMetadata    `json:"metadata"`
	}
	// SlackAttachment stands beside a colored bar.
	SlackAttachment struct {
		Color    string       `json:"color"`
		Fallback string       `json:"fallback"`
		Blocks   []SlackBlock `json:"blocks"`
	}
	// SlackBlock is a header, a section or a context.
	SlackBlock struct {
		Type     string      `json:"type"`
		BlockID  string      `json:"block_id"`
		Text     *SlackText  `json:"text"`
		Fields   []SlackText `json:"fields"`
		Elements []SlackText `json:"elements"`
	}
	// SlackText is a text in either form.
	SlackText struct {
		Type     string `json:"type"`
		Text     string `json:"text"`
		Emoji    *bool  `json:"emoji"`
		Verbatim bool   `json:"verbatim"`
	}
	// SlackMetadata is for programs.
	SlackMetadata struct {
		EventType    string         `json:"event_type"`
		EventPayload map[string]any `json:"event_payload"`
	}
)

// slackError is a word of refusal and why.
type slackError struct{ word, why string }

func invalid(format string, args ...any) *slackError {
	return &slackError{"invalid_blocks", fmt.Sprintf(format, args...)}
}

// mostTotal bounds all texts of a message, which Slack does without saying
// where.
const mostTotal = 16_000

// color is what an attachment may have.
var color = regexp.MustCompile(`^#[0-9a-f]{6}$`)

// check looks at all that the documentation limits.
func (m SlackMessage) check() *slackError {
	if m.Text == "" {
		return &slackError{"no_text", "no fallback for notifications"}
	}
	if err := marked(m.Text, 4000); err != nil {
		return err
	}
	if len(m.Attachments) > 20 {
		return &slackError{"too_many_attachments", fmt.Sprint(len(m.Attachments))}
	}
	seen, total := map[string]bool{}, 0
	count := func(blocks []SlackBlock) *slackError {
		if len(blocks) > 50 {
			return invalid("%d blocks", len(blocks))
		}
		for _, b := range blocks {
			if err := b.check(); err != nil {
				return err
			}
			if b.BlockID != "" && seen[b.BlockID] {
				return invalid("block_id %q twice", b.BlockID)
			}
			seen[b.BlockID] = true
			total += length(b.everything())
		}
		return nil
	}
	if err := count(m.Blocks); err != nil {
		return err
	}
	for _, a := range m.Attachments {
		if !color.MatchString(a.Color) {
			return &slackError{"invalid_attachments", "color " + a.Color}
		}
		if err := marked(a.Fallback, 4000); err != nil || a.Fallback == "" {
			return &slackError{"invalid_attachments", "fallback " + a.Fallback}
		}
		if err := count(a.Blocks); err != nil {
			return err
		}
	}
	if total > mostTotal {
		return &slackError{"msg_too_long", fmt.Sprint(total)}
	}
	return nil
}

func (b SlackBlock) check() *slackError {
	if length(b.BlockID) > 255 {
		return invalid("block_id of %d", length(b.BlockID))
	}
	switch b.Type {
	case "header":
		if b.Text == nil || b.Text.Type != "plain_text" || len(b.Fields)+len(b.Elements) > 0 {
			return invalid("a header has a plain_text and nothing else")
		}
		return b.Text.check(150)
	case "section":
		if b.Text == nil && len(b.Fields) == 0 || len(b.Fields) > 10 || len(b.Elements) > 0 {
			return invalid("a section has a text or up to 10 fields")
		}
		for _, f := range b.Fields {
			if err := f.check(2000); err != nil {
				return err
			}
		}
		if b.Text == nil {
			return nil
		}
		return b.Text.check(3000)
	case "context":
		if len(b.Elements) == 0 || len(b.Elements) > 10 || b.Text != nil || len(b.Fields) > 0 {
			return invalid("a context has 1 to 10 elements")
		}
		for _, e := range b.Elements {
			if err := e.check(3000); err != nil {
				return err
			}
		}
		return nil
	}
	return invalid("a block of type %q", b.Type)
}

func (t SlackText) check(limit int) *slackError {
	if n := length(t.Text); n < 1 || n > limit {
		return invalid("a text of %d characters, 1 to %d are allowed", n, limit)
	}
	switch {
	case t.Type == "plain_text" && !t.Verbatim:
		return nil
	case t.Type == "mrkdwn" && t.Emoji == nil:
		return marked(t.Text, limit)
	}
	return invalid("a text of type %q with emoji or verbatim where they are not allowed", t.Type)
}

// entity is what may follow an ampersand in text with markup.
var entity = regexp.MustCompile(`&(amp|lt|gt);`)

// calls is a text of mentions and nothing else, as people write them into the
// configuration.
var calls = regexp.MustCompile(`^(<(!here|!channel|@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+)>( |$))+$`)

// marked looks at text with markup: nothing of it may be a link, a mention or a
// raw control character, as no text of upkeep has reason to hold one, except
// for one that calls people and says nothing else.
func marked(text string, limit int) *slackError {
	if length(text) > limit {
		return &slackError{"msg_too_long", fmt.Sprint(length(text))}
	}
	if calls.MatchString(text) {
		return nil
	}
	if strings.ContainsAny(text, "<>") {
		return &slackError{"invalid_blocks", fmt.Sprintf("markup that nobody wrote: %.80q", text)}
	}
	if strings.Contains(entity.ReplaceAllString(text, ""), "&") {
		return &slackError{"invalid_blocks", fmt.Sprintf("an ampersand that is not escaped: %.80q", text)}
	}
	return nil
}

// length counts as Slack does at worst.
func length(s string) int { return len(utf16.Encode([]rune(s))) }

func (b SlackBlock) everything() string {
	var out []string
	if b.Text != nil {
		out = append(out, b.Text.shown())
	}
	for _, t := range b.Fields {
		out = append(out, t.shown())
	}
	for _, t := range b.Elements {
		out = append(out, t.shown())
	}
	return strings.Join(out, "\n")
}

func (t SlackText) shown() string {
	if t.Type == "plain_text" {
		return t.Text
	}
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(t.Text)
}

// Shown returns all that people see of a message.
func (m SlackMessage) Shown() string {
	var out []string
	for _, b := range m.Blocks {
		out = append(out, b.everything())
	}
	for _, a := range m.Attachments {
		for _, b := range a.Blocks {
			out = append(out, b.everything())
		}
	}
	return strings.Join(out, "\n")
}
