package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ghosteam/upkeep/runner"
)

// followEvery is how often `logs -f` looks for more.
const followEvery = 300 * time.Millisecond

func newLogs(a *app) *cobra.Command {
	var follow bool
	var number int
	cmd := &cobra.Command{
		Use:   "logs RUN [JOB]",
		Short: "Print what the jobs of a run wrote",
		Long: `Print the captured output of a run's attempts, of one JOB or of all. Output beyond
the capture limit was cut in the middle; the place and the exact number of bytes
are shown. RUN is a run's ID, the beginning of one, a workflow's name for its
newest run, or ` + "`last`" + `.`,
		Example:           "  upkeep logs last\n  upkeep logs daily backup -f",
		Args:              args(cobra.RangeArgs(1, 2)),
		ValidArgsFunction: a.completeRuns,
		RunE: func(cmd *cobra.Command, given []string) error {
			job := ""
			if len(given) == 2 {
				job = given[1]
			}
			return a.logs(cmd.Context(), given[0], logsWanted{job: job, number: number, follow: follow})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run has ended")
	cmd.Flags().IntVar(&number, "attempt", 0, "only this attempt of the job (default all)")
	return cmd
}

type logsWanted struct {
	job    string
	number int
	follow bool
}

func (a *app) logs(ctx context.Context, text string, want logsWanted) error {
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	run, err := resolveRun(ctx, reader, text)
	if err != nil {
		return err
	}
	tail := &logTail{reader: reader, w: a.std.Out, paint: a.painter(a.std.Out), want: want, shown: map[runner.AttemptKey]int64{}}
	for {
		run, err = reader.Run(ctx, string(run.ID))
		if err != nil {
			return err
		}
		if err := tail.print(ctx, run.ID); err != nil {
			return err
		}
		if !want.follow || run.State.Final() {
			break
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if !tail.found {
		return fmt.Errorf("an attempt of job %q in run %s: %w", want.job, run.ID, runner.ErrNotFound)
	}
	return nil
}

// logTail prints outputs and remembers how far it has come, so that following
// prints each byte once.
type logTail struct {
	reader runner.Reader
	w      io.Writer
	paint  painter
	want   logsWanted
	shown  map[runner.AttemptKey]int64
	last   runner.AttemptKey
	found  bool
}

func (t *logTail) print(ctx context.Context, id runner.RunID) error {
	attempts, err := t.reader.Attempts(ctx, id)
	if err != nil {
		return err
	}
	for _, at := range attempts {
		if t.want.job != "" && at.Job != t.want.job || t.want.number != 0 && at.Number != t.want.number {
			continue
		}
		t.found = true
		out, err := t.reader.Output(ctx, at.Key())
		if errors.Is(err, runner.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if err := t.more(at, out); err != nil {
			return err
		}
	}
	if t.want.job == "" {
		t.found = true
	}
	return nil
}

// more prints what lies beyond the bytes already shown. Positions count the
// whole output, cut bytes included.
func (t *logTail) more(at runner.Attempt, out runner.Output) error {
	from := t.shown[at.Key()]
	head, tail := int64(len(out.Head)), int64(len(out.Tail))
	total := head + out.Cut + tail
	if total <= from {
		return nil
	}
	var text []byte
	if from < head {
		text = append(text, out.Head[from:]...)
	}
	if out.Cut > 0 && from < head+out.Cut {
		text = fmt.Appendf(text, "\n[… %d bytes were cut here …]\n", head+out.Cut-max(from, head))
	}
	text = append(text, out.Tail[max(from-head-out.Cut, 0):]...)
	t.shown[at.Key()] = total
	if at.Key() != t.last {
		t.last = at.Key()
		fmt.Fprintf(t.w, "%s\n", t.paint.faint(fmt.Sprintf("==> %s, try %d (%s) <==", at.Job, at.Number, at.State)))
	}
	if isTerminal(t.w) {
		text = printable(text)
	}
	if len(text) > 0 && text[len(text)-1] != '\n' && !t.want.follow {
		text = append(text, '\n')
	}
	if _, err := t.w.Write(text); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// printable replaces control characters that could change the terminal of the
// person who reads: a job's output is not trusted. Pipes get the raw bytes.
func printable(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, c := range text {
		switch {
		case c == '\n' || c == '\t' || c >= ' ' && c != 0x7f:
			out = append(out, c)
		case c == '\r':
		default:
			out = append(out, '^', c^0x40)
		}
	}
	return out
}
