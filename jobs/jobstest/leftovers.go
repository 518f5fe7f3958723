package jobstest

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"
)

// label marks the goroutines of a run, which their own goroutines inherit.
const label = "jobstest-run"

// inside runs do in a goroutine that, with all that it starts, belongs to run.
func inside(run string, do func()) {
	pprof.Do(context.Background(), pprof.Labels(label, run), func(context.Context) { go do() })
}

// leavesNothing waits until the run's goroutines and processes are gone.
func (s *stage) leavesNothing(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(s.fixture.Patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		goroutines, err := goroutinesOf(s.runID)
		if err != nil {
			t.Fatalf("list goroutines: %v", err)
		}
		processes, err := processesOf("UPKEEP_RUN_ID=" + s.runID)
		if err != nil {
			t.Fatalf("list processes: %v", err)
		}
		switch {
		case goroutines == "" && len(processes) == 0:
			return
		case time.Now().Before(deadline):
			time.Sleep(pause)
			continue
		case goroutines != "":
			t.Errorf("the job returned but its goroutines go on:\n%s", goroutines)
		}
		if len(processes) > 0 {
			t.Errorf("the job returned but its processes go on: %q", processes)
		}
		return
	}
}

// goroutinesOf returns the stacks of the goroutines that belong to run.
func goroutinesOf(run string) (string, error) {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return "", err
	}
	var own []string
	for block := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(block, label) && strings.Contains(block, run) {
			own = append(own, block)
		}
	}
	return strings.Join(own, "\n\n"), nil
}

// processesOf returns the command lines of the processes that have the entry,
// KEY=VALUE, in their environment.
func processesOf(entry string) ([]string, error) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(folders) == 0 {
		return nil, errors.Join(err, errors.New("/proc shows no processes"))
	}
	var found []string
	for _, folder := range folders {
		environment, err := os.ReadFile(filepath.Join(folder, "environ"))
		if err != nil { // it ended, or is somebody else's
			continue
		}
		if strings.Contains("\x00"+string(environment), "\x00"+entry+"\x00") {
			found = append(found, commandLine(folder))
		}
	}
	return found, nil
}

func commandLine(folder string) string {
	text, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}

// childrenOf returns the processes that a process started, by its folder in
// /proc, and theirs.
func childrenOf(folder string) []string {
	lists, err := filepath.Glob(filepath.Join(folder, "task/*/children"))
	if err != nil {
		return nil
	}
	var all []string
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for id := range strings.FieldsSeq(string(text)) {
			if _, err := strconv.Atoi(id); err == nil {
				child := filepath.Join("/proc", id)
				all = append(all, child)
				all = append(all, childrenOf(child)...)
			}
		}
	}
	return all
}
