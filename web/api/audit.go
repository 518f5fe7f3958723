package api

import (
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Action is one line of the audit.
type Action struct {
	ID        string           `json:"id"`
	At        time.Time        `json:"at"`
	Who       string           `json:"who" doc:"empty when nobody could tell"`
	Role      runner.Role      `json:"role" doc:"what they may do"`
	Means     string           `json:"means" doc:"how they proved it: socket, token, cookie, password, certificate or anonymous"`
	From      string           `json:"from" doc:"the address of the client, or socket"`
	Via       string           `json:"via" doc:"what the client calls itself, such as cli"`
	What      string           `json:"what" doc:"the operation, such as cancel-run"`
	Subject   string           `json:"subject" doc:"what it was about"`
	End       runner.ActionEnd `json:"end" enum:"done,refused,failed"`
	Status    int              `json:"status" doc:"the HTTP status of the answer"`
	RequestID string           `json:"request_id" doc:"under which the log has it"`
	Count     int              `json:"count" doc:"how many alike it stands for; more than one only of refusals"`
}

// NewAction makes the JSON form of an action.
func NewAction(a runner.Action) Action {
	a.At = a.At.UTC()
	return Action(a)
}

// Runner turns the answer back into an action.
func (v Action) Runner() runner.Action { return runner.Action(v) }

// Actions are lines of the audit, the newest first.
type Actions struct {
	Actions []Action `json:"actions" nullable:"false"`
	Next    string   `json:"next" doc:"give it as before to continue the list; empty at its end"`
}
