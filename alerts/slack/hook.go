package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/alerts/internal/post"
)

// encode writes JSON as Slack wants it: UTF-8, without escaping what only HTML
// needs, which would count for the limits of nobody.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, &alerts.PermanentError{Err: fmt.Errorf("write the message: %w", err)}
	}
	return b.Bytes(), nil
}

func jsonHeader() http.Header {
	return http.Header{"Content-Type": {"application/json; charset=utf-8"}}
}

// hook posts to the webhook.
func (c *Channel) hook(ctx context.Context, m message) (string, error) {
	text, err := encode(m)
	if err != nil {
		return "", err
	}
	a, err := c.client.Do(ctx, post.Request{Method: http.MethodPost, URL: c.o.WebhookURL.Reveal(), Header: jsonHeader(), Body: text})
	if err != nil {
		return "", err
	}
	if said := strings.TrimSpace(string(a.Body)); a.Status == http.StatusOK && said == "ok" {
		return c.client.Receipt(a, said), nil
	}
	return "", c.client.Refused(a, refusedHook(a))
}

// refusedHook judges an answer of a webhook:
// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors.
func refusedHook(a *post.Answer) post.Refusal {
	switch a.Status {
	case http.StatusOK:
		return post.Refusal{Why: "this is not what Slack answers to a message", Hint: "is webhook_url the address of a webhook, and does nothing in between answer in Slack's place?"}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return post.Refusal{Forever: true}
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return post.Refusal{Forever: true, Hint: "the webhook or its channel is gone or closed to it: create a new one and set webhook_url"}
	}
	return post.Refusal{}
}
