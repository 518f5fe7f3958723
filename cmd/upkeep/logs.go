package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
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
		ValidArgsFunction: a.completeRunThenJob,
		RunE: func(cmd *cobra.Command, given []string) error {
			job := ""
			if len(given) == 2 {
				job = given[1]
			}
			return a.logs(cmd.Context(), given[0], logsWanted{job: job, number: number, follow: follow})
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run has ended, or nobody works on it any longer")
	cmd.Flags().IntVar(&number, "attempt", 0, "only the attempts with this number `N`")
	return cmd
}

type logsWanted struct {
	job    string
	number int
	follow bool
}

func (a *app) logs(ctx context.Context, text string, want logsWanted) error {
	if want.number < 0 {
		return usagef("--attempt %d: attempts count from 1", want.number)
	}
	reader, err := a.openReader(ctx)
	if err != nil {
		return err
	}
	defer reader.Close()
	run, err := findRun(ctx, reader, text)
	if err != nil {
		return err
	}
	tail := &logTail{
		reader: reader, w: a.std.Out, paint: a.painter(a.std.Out), terminal: isTerminal(a.std.Out),
		want: want, shown: map[runner.AttemptKey]int64{},
	}
	for {
		// Read before the output: what was written until the end is there then.
		if run, err = reader.Run(ctx, string(run.ID)); err != nil {
			return err
		}
		orphaned, err := reader.orphaned(ctx, run)
		if err != nil {
			return err
		}
		over := !want.follow || run.State.Final() || orphaned
		if err := tail.print(ctx, run.ID, over); err != nil {
			return err
		}
		if over {
			if want.follow && orphaned {
				fmt.Fprintf(a.std.Err, "note: run %s was interrupted; continue it with: %s\n", run.ID, a.again("retry "+string(run.ID)))
			}
			return tail.check(ctx, run.ID)
		}
		select {
		case <-time.After(followEvery):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// logTail prints outputs and remembers how far it has come, so that following
// prints each byte once.
type logTail struct {
	reader   runner.Reader
	w        io.Writer
	paint    painter
	terminal bool
	want     logsWanted
	shown    map[runner.AttemptKey]int64
	// last is the attempt whose output came last; open tells that its last line
	// has no end yet.
	last  runner.AttemptKey
	open  bool
	found bool
}

// print prints what is new. last tells that nothing more will come.
func (t *logTail) print(ctx context.Context, id runner.RunID, last bool) error {
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
		if err := t.more(at, out, last || at.State.Final()); err != nil {
			return err
		}
	}
	if last && t.open {
		return t.write("\n")
	}
	return nil
}

// more prints what lies beyond the bytes already shown. Positions count the
// whole output, cut bytes included.
func (t *logTail) more(at runner.Attempt, out runner.Output, last bool) error {
	from := t.shown[at.Key()]
	head, tail := int64(len(out.Head)), int64(len(out.Tail))
	total := head + out.Cut + tail
	var text []byte
	if from < head {
		text = append(text, out.Head[from:]...)
	}
	if out.Cut > 0 && from < head+out.Cut {
		text = fmt.Appendf(text, "\n[… %d bytes were cut here …]\n", head+out.Cut-max(from, head))
	}
	text = append(text, out.Tail[min(max(from-head-out.Cut, 0), tail):]...)
	if !last && t.terminal {
		// The rest of a character is still to come.
		split := cutRune(text)
		text, total = text[:len(text)-split], total-int64(split)
	}
	if len(text) == 0 {
		return nil
	}
	t.shown[at.Key()] = total
	if at.Key() != t.last {
		if err := t.begin(at); err != nil {
			return err
		}
	}
	if t.terminal {
		text = printable(text)
	}
	t.open = text[len(text)-1] != '\n'
	return t.write(string(text))
}

// begin writes whose output follows.
func (t *logTail) begin(at runner.Attempt) error {
	title := ""
	if t.open {
		title = "\n"
	}
	t.last, t.open = at.Key(), false
	return t.write(title + t.paint.faint(fmt.Sprintf("==> %s, try %d (%s) <==", at.Job, at.Number, at.State)) + "\n")
}

func (t *logTail) write(text string) error {
	if _, err := io.WriteString(t.w, text); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// check tells when what was asked for does not exist.
func (t *logTail) check(ctx context.Context, id runner.RunID) error {
	if t.found || t.want.job == "" && t.want.number == 0 {
		return nil
	}
	attempts, err := t.reader.Attempts(ctx, id)
	if err != nil {
		return err
	}
	var names []string
	for _, at := range latestPerJob(attempts) {
		names = append(names, at.Job)
	}
	hint := ""
	if len(names) > 0 {
		hint = "the jobs of that run are " + strings.Join(names, ", ")
	}
	switch {
	case t.want.job == "":
		return notFoundf(hint, "run %s has no attempt %d", id, t.want.number)
	case t.want.number == 0:
		return notFoundf(hint, "run %s has no job %q", id, t.want.job)
	}
	return notFoundf(hint, "run %s has no attempt %d of a job %q", id, t.want.number, t.want.job)
}
