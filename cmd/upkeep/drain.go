package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

type drainFlags struct {
	untilIdle bool
	most      string
	end       bool
}

func newDrain(a *app) *cobra.Command {
	var f drainFlags
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Keep new runs from starting, and wait for those under way",
		Long: `Ask the service to start nothing new, as before an upgrade or a restart. With
--until-idle the command returns when nothing runs any more, and says meanwhile what
it waits for; with --max it gives up after a while with exit code 75, and the drain
stays. Slots that come due during a drain are decided afterwards, or by the next
service.`,
		Example: "  upkeep drain --until-idle --max 2h && systemctl restart upkeep\n  upkeep drain --end",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.drain(cmd.Context(), f)
		},
	}
	cmd.Flags().BoolVar(&f.untilIdle, "until-idle", false, "wait until nothing runs any more")
	cmd.Flags().StringVar(&f.most, "max", "", "with --until-idle: the longest `TIME` to wait, such as 2h")
	cmd.Flags().BoolVar(&f.end, "end", false, "let runs start again")
	return cmd
}

func (a *app) drain(ctx context.Context, f drainFlags) error {
	var most unit.Duration
	if f.most != "" {
		if err := most.UnmarshalText([]byte(f.most)); err != nil || most <= 0 {
			return usagef("--max %q is not a length of time such as 2h", f.most)
		}
	}
	switch {
	case f.end && (f.untilIdle || f.most != ""):
		return usagef("--end goes alone")
	case f.most != "" && !f.untilIdle:
		return usagef("--max goes with --until-idle")
	}
	_, c, err := a.configOrHolder(ctx)
	switch {
	case err != nil:
		return err
	case c == nil:
		return errNoService
	case f.end:
		was, err := c.Undrain(ctx)
		if err != nil {
			return err
		}
		if !was {
			return skippedf("", "there is no drain")
		}
		fmt.Fprintln(a.std.Out, "runs start again")
		return nil
	}
	state, err := c.Drain(ctx, false, 0)
	if err != nil {
		return err
	}
	if !f.untilIdle {
		fmt.Fprintf(a.std.Out, "nothing new starts; %s under way\n", count(state.Running, "run"))
		return nil
	}
	if most > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, most.Std(), errStillBusy)
		defer cancel()
	}
	for told := -1; !state.Idle; {
		if state.Running != told {
			fmt.Fprintf(a.std.Err, "waiting for %s%s\n", count(state.Running, "run"), a.namesOfRunning(ctx, c.Client))
			told = state.Running
		}
		state, err = c.Drain(ctx, true, drainStep)
		if err != nil {
			if errors.Is(context.Cause(ctx), errStillBusy) {
				return jobs.WithHint(fmt.Errorf("%w: after %s there are still runs under way; the drain stays", errStillBusy, most), "end it with `upkeep drain --end`")
			}
			return err
		}
	}
	fmt.Fprintln(a.std.Out, "nothing runs and nothing new starts")
	return nil
}

// drainStep is after how long a wait for idleness looks at what it waits for.
const drainStep = 5 * time.Second

// errStillBusy says that a drain took longer than somebody wanted to wait.
var errStillBusy = &busyError{}

// busyError is one way of having to try again.
type busyError struct{}

// Error says what is missing.
func (*busyError) Error() string { return "not idle yet" }

// Is makes it temporary.
func (*busyError) Is(target error) bool { return target == runner.ErrUnavailable }

// namesOfRunning names the workflows under way, as far as that can be found
// out.
func (a *app) namesOfRunning(ctx context.Context, reader runner.Reader) string {
	runs, err := reader.Runs(ctx, runner.Filter{States: []runner.State{runner.Running}, Limit: 10})
	if err != nil || len(runs) == 0 {
		return ""
	}
	names := make([]string, len(runs))
	for i, r := range runs {
		names[i] = r.Spec.Workflow
	}
	return ": " + strings.Join(names, ", ")
}
