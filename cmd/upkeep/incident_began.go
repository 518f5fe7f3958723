package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/jobs"
)

// startedAt adds the flag by which people say when a fault really began.
func startedAt(cmd *cobra.Command, began *string) {
	cmd.Flags().StringVar(began, "started-at", "", "when the fault really began: a duration back from now, a date or an instant (`TIME`)")
}

// beganAt says when a fault began, if somebody did, before do does more.
func beganAt(began string, do func(context.Context, deskWorker, string) error) func(context.Context, deskWorker, string) error {
	return func(ctx context.Context, d deskWorker, id string) error {
		at, err := moment("started-at", began, time.Now())
		if err != nil {
			return err
		}
		if !at.IsZero() {
			if err := d.BeganIncident(ctx, id, at); err != nil {
				if wrong, ok := errors.AsType[*jobs.FieldError](err); ok {
					return usagef("--started-at: %s", wrong.Why)
				}
				return err
			}
		}
		return do(ctx, d, id)
	}
}
