package slack

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
)

// units is the length of a text as Slack counts at worst: in units of UTF-16.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += max(1, utf16.RuneLen(r))
	}
	return n
}

// split cuts s after at most limit units, at a line end when there is one in
// the second half.
func split(s string, limit int) (head, tail string) {
	n := 0
	for i, r := range s {
		if n += max(1, utf16.RuneLen(r)); n > limit {
			if end := strings.LastIndexByte(s[:i], '\n'); end > i/2 {
				i = end
			}
			return s[:i], s[i:]
		}
	}
	return s, ""
}

// fit returns s in at most limit units, with an ellipsis when it was longer.
func fit(s string, limit int) string {
	if units(s) <= limit {
		return s
	}
	n := 0
	for i, r := range s {
		if n += max(1, utf16.RuneLen(r)); n > limit-1 {
			return s[:i] + "…"
		}
	}
	return s
}

// escape makes the three characters that control Slack's markup harmless:
// https://docs.slack.dev/messaging/formatting-message-text#escaping.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// mass matches what could call everybody, where names become links.
var mass = regexp.MustCompile(`(?i)@(channel|here|everyone|group)\b`)

// fallback is foreign text for notifications, where there are no blocks.
func fallback(s string) string {
	s = mass.ReplaceAllString(s, "@\u2060$1") // a word joiner, which shows as nothing
	return fit(escape(fit(s, longestFallback)), 4*longestFallback)
}

// emoji matches the names of emoji between colons.
var emoji = regexp.MustCompile(`:[^:\s]*[A-Za-z+-][^:\s]*:`)

// risky tells whether Slack could read markup into a value.
func risky(s string) bool { return strings.ContainsAny(s, "*_~`&<>") || emoji.MatchString(s) }

const fenceMark = "```"

// fence puts lines between fences, in at most longestSection units: the last
// ones, with a sign for those that are missing.
func fence(lines []string, cut bool) string {
	const open, end = fenceMark + "\n", "\n" + fenceMark
	left := longestSection - len(open) - len(end) - len("…\n")
	var kept []string
	for _, line := range slices.Backward(lines) {
		line = escape(apart(line))
		if size := units(line) + 1; size <= left {
			left -= size
			kept = append(kept, line)
			continue
		}
		if len(kept) == 0 { // one line that is too long shows its beginning
			kept = append(kept, entire(line, left-1))
		}
		cut = true
		break
	}
	if len(kept) == 0 {
		return ""
	}
	if cut {
		kept = append(kept, "…")
	}
	slices.Reverse(kept)
	return open + strings.Join(kept, "\n") + end
}

// apart keeps backticks from closing a fence.
func apart(line string) string {
	return strings.ReplaceAll(line, "``", "`\u200b`") // a space of no width
}

// entire cuts escaped text without cutting an entity.
func entire(s string, limit int) string {
	s = fit(s, limit)
	if amp := strings.LastIndexByte(s, '&'); amp >= 0 && !strings.Contains(s[amp:], ";") {
		s = s[:amp] + "…"
	}
	return s
}
