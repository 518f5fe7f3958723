package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// control is what the job needs of systemd.
type control interface {
	// State tells what systemd knows of a unit, also of one that does not exist.
	State(ctx context.Context, unit string) (state, error)
	// Do does v with the unit and returns when systemd has done it, with the
	// result of systemd's job: done, canceled, timeout, failed, dependency or
	// skipped (org.freedesktop.systemd1(5), JobRemoved). When ctx ends, systemd
	// goes on with it.
	Do(ctx context.Context, v verb, unit string) (result string, err error)
	// Post asks for v and does not wait.
	Post(ctx context.Context, v verb, unit string) error
	// Name says how systemd is spoken with.
	Name() string
	// Close ends the connection.
	Close()
}

// done is the result of a job of systemd that went well.
const done = "done"

// state is what systemd knows of a unit; see org.freedesktop.systemd1(5).
type state struct {
	// ID is the unit's own name, which an alias leads to.
	ID string
	// Load is loaded, not-found, masked or an error; Active and Sub are the state.
	Load, Active, Sub string
	// Type is simple, notify, oneshot …; empty for units that are no services.
	Type string
	// Result is success, or why the service failed last.
	Result string
	// Restarts counts how often systemd restarted it by itself.
	Restarts uint64
	// PID is the main process, 0 without one.
	PID uint64
	// Memory is what the unit uses, in bytes; 0 when it is not counted.
	Memory uint64
	// Invocation changes with every start.
	Invocation string
	// Dependents are units that are stopped and restarted along with it: those
	// that require it, are bound to it or are part of it.
	Dependents []string
	// CanReload tells that it knows how to reload.
	CanReload bool
}

func (s state) String() string {
	text := s.Active + " (" + s.Sub + ")"
	if s.PID != 0 {
		text += fmt.Sprintf(", process %d", s.PID)
	}
	if s.Restarts > 0 {
		text += fmt.Sprintf(", restarted by systemd %d times", s.Restarts)
	}
	if s.Result != "" && s.Result != "success" {
		text += ", result " + s.Result
	}
	return text
}

// The states of a unit that matter here.
const (
	activeState   = "active"
	inactiveState = "inactive"
	failedState   = "failed"
	oneshotType   = "oneshot"
)

// well tells why a unit is not what it should be after v; "" when it is. gone
// tells that waiting will not change that.
func (s state) well(v verb) (why string, gone bool) {
	if v == verbStop {
		if s.Active == inactiveState || s.Active == failedState {
			return "", false
		}
		return "it is still " + s.Active, false
	}
	switch {
	case s.Active == activeState:
		return "", false
	case s.Type == oneshotType && s.Active == inactiveState && s.Result == "success":
		return "", false
	case s.Active == failedState:
		why := "it has failed"
		if s.Result != "" {
			why += " (" + s.Result + ")"
		}
		return why, true
	}
	return "it is " + s.Active + " (" + s.Sub + ")", false
}

// same tells that nothing was started anew between two looks.
func (s state) same(o state) bool {
	return s.PID == o.PID && s.Restarts == o.Restarts && s.Invocation == o.Invocation
}

// word keeps what systemd says to a word of a sane length.
func word(text string) string {
	const longest = 100
	text = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, text)
	return text[:min(len(text), longest)]
}

// deniedBy tells whether an error name of D-Bus means that one may not.
func deniedBy(name string) bool {
	return slices.Contains([]string{
		"org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", "org.freedesktop.PolicyKit1.Error.NotAuthorized",
	}, name)
}

// rights is the advice for who may not.
const rights = "run upkeep as root, allow its user org.freedesktop.systemd1.manage-units by a rule of polkit, or write systemctl: [sudo, -n, systemctl]"

// needsSystemd is the advice for hosts that something else runs.
const needsSystemd = "this kind needs a host that systemd runs; in a container use a script"
