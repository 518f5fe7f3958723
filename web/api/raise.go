package api

import (
	"github.com/ghosteam/upkeep/jobs"
)

// AlertRequest says that something is wrong, or no longer is.
type AlertRequest struct {
	Type     string            `json:"type" minLength:"1" maxLength:"64" doc:"one word for what it is; the same type is the same fault"`
	Message  string            `json:"message,omitempty" maxLength:"2000" doc:"what is wrong, in one line; needed unless resolve is set"`
	Severity jobs.Severity     `json:"severity,omitempty" enum:"info,warning,critical" doc:"warning when it is left out"`
	Metadata map[string]string `json:"metadata,omitempty" maxProperties:"50" doc:"what else there is to know, by name"`
	Resolve  bool              `json:"resolve,omitempty" doc:"it is over"`
}

// Alerted is what came of an alert.
type Alerted struct {
	Fingerprint string   `json:"fingerprint" doc:"identifies the fault"`
	Changed     bool     `json:"changed" doc:"whether an incident opened, or ended; otherwise one was open already, or none was"`
	Channels    []string `json:"channels" nullable:"false" doc:"who is told of it when it opens"`
}
