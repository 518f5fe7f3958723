package service

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Acted records in the audit what somebody did in a process that works on the
// ledger itself, as the API does of what it is asked for: by is NAME@HOST (VIA),
// what the name of the operation, subject what it was about, and err how it
// ended. It returns err, and why it could not be recorded.
func Acted(ctx context.Context, to runner.Auditor, by, what, subject string, err error) error {
	name, from, _ := strings.Cut(by, "@")
	from, _, _ = strings.Cut(from, " ")
	action := runner.Action{
		At: time.Now().UTC(), Who: name, Role: runner.RoleAdmin, Means: "shell", From: from, Via: "cli", What: what, Subject: strings.TrimSpace(subject), End: runner.ActionDone, Count: 1,
	}
	if err != nil {
		action.End = runner.ActionFailed
	}
	if missing := to.Audit(context.WithoutCancel(ctx), action); missing != nil {
		return errors.Join(err, missing)
	}
	return err
}
