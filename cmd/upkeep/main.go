// Command upkeep looks after a production system: it runs declarative
// maintenance workflows, proves their outcome, records every run and says so
// when something failed. One file here holds one command; wire.go is the only
// place of the program that sees every part.
package main

import (
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // schedules must not depend on the zone files of the host
)

// version, commit and date are set by the linker.
var (
	version = "dev"
	commit  = ""
	date    = ""
)

func main() {
	os.Exit(run(os.Args[0], os.Args[1:], stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// stdio is what a command reads and writes.
type stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs one command line and returns the exit code. The first signal that
// asks this process to end ends the command's context; commands that execute
// runs handle signals themselves.
func Main(args []string, std stdio) int { return run("upkeep", args, std) }

// run is Main under the name by which the program was called.
func run(name string, args []string, std stdio) int {
	signals := listen()
	defer signals.stop()
	out := &stream{w: std.Out}
	a := &app{name: name, std: stdio{In: std.In, Out: out, Err: &notes{w: std.Err}}, getenv: os.LookupEnv, signals: signals}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(a.std.In)
	root.SetOut(a.std.Out)
	root.SetErr(a.std.Err)
	cmd, err := root.ExecuteContextC(signals.ctx)
	if err != nil && !a.began {
		err = a.usage(root, err)
	}
	if failed := out.failure(); failed != nil && !isClosedPipe(failed) && codeOf(err) == exitOK {
		err = fmt.Errorf("write the output: %w", failed)
	}
	return a.finish(cmd, err)
}
