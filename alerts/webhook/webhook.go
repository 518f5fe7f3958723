// Package webhook posts messages as JSON to any server. It knows how to write,
// sign and judge one request; it refuses to know who is at the other end.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/post"
	"github.com/ghosteam/upkeep/configs/secret"
)

const doc = `Posts JSON to a server of yours, signed, as a template or as it is.

The header 'Idempotency-Key' holds the ID of the notice, the same for every attempt to send
it: a receiver that keeps the keys it has seen gets every message once. With 'secret' the
header 'X-Upkeep-Signature: t=UNIX,v1=HEX' holds the time of the attempt and the HMAC-SHA256
of 't.body' in hexadecimal: compare it in constant time, and refuse times that are too old.

Without 'body' the body is

    {"version": 1, "id": "…", "thread": "…", "action": "open", "combined": false,
     "severity": "critical", "verdict": "CRITICAL", "project": "…", "node": "…", "at": "…",
     "title": "…", "text": "…",
     "incident": {"id": "…", "fingerprint": "workflow/daily", "workflow": "daily", "check": "",
       "severity": "critical", "reason": "failed", "title": "…", "state": "open", "count": 1,
       "opened_at": "…", "last_at": "…", "resolved_at": "", "down_seconds": 0,
       "acked_by": "", "acked_until": "", "flapping": false},
     "run": {"id": "…", "workflow": "daily", "slot": "…", "trigger": "schedule", "by": "",
       "state": "failed", "reason": "error", "message": "…", "node": "db-1",
       "started_at": "…", "finished_at": "…"},
     "failures": [{"job": "backup", "kind": "pgbackup", "attempt": 1, "state": "failed",
       "reason": "error", "error": "…", "hint": "…", "exit_code": 1, "output": ["…"],
       "output_cut": false, "started_at": "…", "finished_at": "…"}],
     "evidence": [{"name": "answer", "text": "…"}],
     "changes": [{"kind": "deploy", "subject": "api", "text": "1.4.2 ok", "by": "anna", "at": "…"}],
     "items": [{"notice": "…", "action": "open", "severity": "warning", "title": "…", "incident": "…"}],
     "commands": [{"does": "…", "line": "upkeep show …"}]}

All keys are always there; 'incident' and 'run' are null for a message that has none. 'action'
is 'open', 'worse', 'repeat', 'ack', 'resolve', 'remind', 'digest', 'weekly' or 'test'. Instants are RFC 3339 in the
configured zone. 'evidence' is what was found when the fault began, of each piece the first 16 KiB,
'changes' the latest events of the hour before; both are empty for what is over. Later versions of upkeep may add keys under the same version.

'body' is a template (Go text/template) over these keys that must make JSON; 'json' writes a
value of any type, with its quotes:

    body: '{"text": {{json .title}}, "level": {{json .severity}}{{with .run}}, "run": {{json .id}}{{end}}}'

It is tried on samples when the configuration is loaded. A template that leaves out 'json'
around a text is refused then.

The statuses under 'success' mean that the message arrived. 401, 403, 407, 408, 425, 429, 5xx, redirects to
another server and lost connections are tried again, not before 'Retry-After'; any other
answer gives the message up at once. Bodies are at most 1 MiB.`

// Kind returns the kind of channel.
func Kind() alerts.Kind {
	return alerts.Define("webhook", doc, defaults(), func(name string, o Options) (alerts.Channel, error) {
		return Open(name, o)
	})
}

// Channel is one server that is told.
type Channel struct {
	name    string
	o       Options
	body    *body
	success statuses
	client  *post.Client
}

var _ alerts.Previewer = (*Channel)(nil)

// Open returns the channel of that configured name. It reaches out to nobody.
func Open(name string, o Options) (*Channel, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	b, err := parseBody(o.Body)
	if err != nil {
		return nil, err
	}
	success, err := parseStatuses(o.Success)
	if err != nil {
		return nil, err
	}
	secrets := secret.Collect(o)
	for _, value := range o.Headers {
		secrets = append(secrets, strings.Fields(value.Reveal())...) // a token without the word Bearer
	}
	client := post.New("the webhook", o.Options, true, []string{o.URL.Reveal()}, secrets)
	return &Channel{name: name, o: o, body: b, success: success, client: client}, nil
}

// Send implements alerts.Channel. The receipt is the status and the first line
// of the answer.
func (c *Channel) Send(ctx context.Context, m alerts.Message) (string, error) {
	text, err := c.body.write(m)
	if err != nil {
		return "", &alerts.PermanentError{Err: err}
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for name, value := range c.o.Headers {
		header.Set(name, value.Reveal())
	}
	header.Set(headerKey, keyOf(m.ID))
	if !c.o.Secret.IsEmpty() {
		header.Set(headerSignature, Sign(c.o.Secret.Reveal(), time.Now(), text))
	}
	a, err := c.client.Do(ctx, post.Request{Method: c.o.Method, URL: c.o.URL.Reveal(), Header: header, Body: text})
	if err != nil {
		return "", err
	}
	if c.success.has(a.Status) {
		said := strings.TrimSpace(string(a.Body))
		if strings.HasPrefix(said, "<") {
			said = ""
		}
		return c.client.Receipt(a, said), nil
	}
	return "", c.client.Refused(a, refused(a.Status))
}

// Preview implements alerts.Previewer: the method, the names of the headers and
// the body.
func (c *Channel) Preview(m alerts.Message) (string, error) {
	text, err := c.body.write(m)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s: %s\n", c.o.Method, headerKey, keyOf(m.ID))
	for _, name := range slices.Sorted(maps.Keys(c.o.Headers)) {
		fmt.Fprintf(&b, "%s: %s\n", name, secret.Redacted)
	}
	if !c.o.Secret.IsEmpty() {
		fmt.Fprintf(&b, "%s: t=%d,v1=…\n", headerSignature, m.At.Unix())
	}
	fmt.Fprintf(&b, "\n%s\n", strings.TrimSuffix(string(text), "\n"))
	return b.String(), nil
}

// refused judges an answer that is not a success.
func refused(status int) post.Refusal {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusProxyAuthRequired:
		return post.Refusal{Hint: "check the secrets under url, headers and secret; the message waits, and new ones are used without a restart"}
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests || status >= 500:
		return post.Refusal{}
	case status >= 300 && status < 400:
		return post.Refusal{Hint: "write the address to which the server really answers under url"}
	case status < 300:
		return post.Refusal{Forever: true, Hint: "if this status means that the message arrived, add it to success"}
	}
	return post.Refusal{Forever: true}
}

// Sign returns the value of the header X-Upkeep-Signature: the time of the
// attempt in seconds since 1970 and the HMAC-SHA256 of "t.body" under secret in
// hexadecimal, as "t=UNIX,v1=HEX".
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	// A hash never fails to take bytes.
	_, _ = mac.Write([]byte(t + "."))
	_, _ = mac.Write(body)
	return fmt.Sprintf("t=%s,v1=%s", t, hex.EncodeToString(mac.Sum(nil)))
}

// keyOf makes an ID fit for a header; the same ID always gives the same key.
func keyOf(id string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f {
			return r
		}
		return '_'
	}, id[:min(len(id), longestKey)])
}

// longestKey bounds the Idempotency-Key, in bytes.
const longestKey = 128
