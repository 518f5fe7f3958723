package slack

import "strings"

// Slack's limits: https://docs.slack.dev/reference/block-kit/blocks and
// https://docs.slack.dev/reference/methods/chat.postMessage, in characters.
const (
	mostBlocks      = 50
	longestHeader   = 150
	longestSection  = 3000
	mostFields      = 10
	longestField    = 2000
	longestID       = 255
	longestFallback = 1000 // Slack recommends at most 4000
	longestContext  = 300  // Slack names no limit
	// mostText bounds all texts of one message together: Slack refuses messages
	// that are long in total, without saying where that begins.
	mostText = 12_000
)

// The shapes of Slack's JSON.
type (
	text struct {
		Type string `json:"type"`
		Text string `json:"text"`
		// Emoji is for plain_text, Verbatim for mrkdwn: no names become links.
		Emoji    *bool `json:"emoji,omitempty"`
		Verbatim bool  `json:"verbatim,omitempty"`
	}
	block struct {
		Type     string `json:"type"`
		BlockID  string `json:"block_id,omitempty"`
		Text     *text  `json:"text,omitempty"`
		Fields   []text `json:"fields,omitempty"`
		Elements []text `json:"elements,omitempty"`
	}
	attachment struct {
		Color    string  `json:"color"`
		Fallback string  `json:"fallback"`
		Blocks   []block `json:"blocks"`
	}
	message struct {
		Channel     string       `json:"channel,omitempty"`
		TS          string       `json:"ts,omitempty"`
		ThreadTS    string       `json:"thread_ts,omitempty"`
		Broadcast   bool         `json:"reply_broadcast,omitempty"`
		Text        string       `json:"text"`
		Blocks      []block      `json:"blocks"`
		Attachments []attachment `json:"attachments"`
		Metadata    *metadata    `json:"metadata,omitempty"`
		UnfurlLinks *bool        `json:"unfurl_links,omitempty"`
		UnfurlMedia *bool        `json:"unfurl_media,omitempty"`
		Parse       string       `json:"parse,omitempty"`
		LinkNames   *bool        `json:"link_names,omitempty"`
	}
	metadata struct {
		EventType    string            `json:"event_type"`
		EventPayload map[string]string `json:"event_payload"`
	}
)

// plain is text that nothing in it can mark up.
func plain(content string, limit int) text {
	no := false
	return text{Type: "plain_text", Text: fit(content, limit), Emoji: &no}
}

// marked is text with markup of ours; what is foreign in it is escaped.
func marked(content string) text { return text{Type: "mrkdwn", Text: content, Verbatim: true} }

// layout collects blocks within the limits.
type layout struct {
	blocks []block
	size   int
	max    int
}

// room tells whether a block with so much text fits.
func (l *layout) room(size int) bool { return len(l.blocks) < l.max && l.size+size <= mostText }

func (l *layout) add(b block, size int) {
	if !l.room(size) {
		return
	}
	l.blocks, l.size = append(l.blocks, b), l.size+size
}

// paragraph adds foreign text as it is, in as many sections as it takes, at
// most three.
func (l *layout) paragraph(content string) {
	const most = 3
	for i := range most {
		if content = strings.TrimSpace(content); content == "" {
			return
		}
		part, rest := content, ""
		if i < most-1 {
			part, rest = split(content, longestSection)
		}
		t := plain(part, longestSection)
		l.add(block{Type: "section", Text: &t}, units(t.Text))
		content = rest
	}
}

// code adds lines between fences, the last ones when not all fit.
func (l *layout) code(lines []string, cut bool) {
	content := fence(lines, cut)
	if content == "" {
		return
	}
	t := marked(content)
	l.add(block{Type: "section", Text: &t}, units(content))
}

// fields adds pairs of a name and a value.
func (l *layout) fields(pairs [][2]string) {
	var out []text
	size := 0
	for _, pair := range pairs[:min(len(pairs), mostFields)] {
		f := field(pair[0], pair[1])
		size += units(f.Text)
		out = append(out, f)
	}
	if len(out) > 0 {
		l.add(block{Type: "section", Fields: out}, size)
	}
}

// field is one pair. A value that could become markup stands in a text that
// knows none.
func field(name, value string) text {
	if risky(value) {
		return plain(name+"\n"+value, longestField)
	}
	return marked(fit("*"+name+"*\n"+value, longestField))
}

// context adds a small line.
func (l *layout) context(lines ...string) {
	b := block{Type: "context"}
	size := 0
	for _, line := range lines {
		if line == "" {
			continue
		}
		t := plain(line, longestContext)
		size += units(t.Text)
		b.Elements = append(b.Elements, t)
	}
	if len(b.Elements) > 0 {
		l.add(b, size)
	}
}
