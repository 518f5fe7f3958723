package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Happening is something that happened to the system.
type Happening struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind" doc:"one word, such as deploy, packages, restart or reload"`
	Subject string    `json:"subject" doc:"what it happened to"`
	Text    string    `json:"text" doc:"what happened, in one line"`
	By      string    `json:"by" doc:"who did it"`
	At      time.Time `json:"at"`
}

// NewHappening makes the JSON form of an event of the system.
func NewHappening(h runner.Happening) Happening {
	h.At = h.At.UTC()
	return Happening(h)
}

// Happenings is a page of events, the latest first.
type Happenings struct {
	Events []Happening `json:"events" nullable:"false"`
	Next   string      `json:"next" doc:"what to give as before for the next page; empty on the last one"`
}

// HappeningRequest brings an event.
type HappeningRequest struct {
	Kind    string     `json:"kind" pattern:"^[a-z0-9][a-z0-9_.-]*$" maxLength:"100" doc:"one word, such as deploy"`
	Subject string     `json:"subject" minLength:"1" maxLength:"400" doc:"what it happened to"`
	Text    string     `json:"text" maxLength:"4000" doc:"what happened, in one line"`
	At      *time.Time `json:"at,omitempty" doc:"when it happened; without it, now"`
}

// Runner turns the request into an event that somebody brings.
func (r HappeningRequest) Runner(by string) runner.Happening {
	return runner.Happening{Kind: r.Kind, Subject: r.Subject, Text: r.Text, By: by, At: moment(r.At)}
}
