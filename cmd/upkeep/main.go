// Command upkeep looks after a production system: it runs declarative
// maintenance workflows, proves their outcome, records every run and says so
// when something failed. One file here holds one command; wire.go is the only
// place of the program that sees every part.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // schedules must not depend on the zone files of the host
)

// version, commit and date are set by the linker.
var (
	version = "dev"
	commit  = ""
	date    = ""
)

func main() {
	os.Exit(Main(os.Args[1:], stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// stdio is what a command reads and writes.
type stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// Main runs one command line and returns the exit code. The first SIGINT or
// SIGTERM ends the command's context; commands that execute runs handle a
// second one themselves.
func Main(args []string, std stdio) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := &stream{w: std.Out}
	a := &app{std: stdio{In: std.In, Out: out, Err: std.Err}, getenv: os.LookupEnv}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetIn(std.In)
	root.SetOut(out)
	root.SetErr(std.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if failed := out.failure(); failed != nil && codeOf(err) == exitOK {
		err = fmt.Errorf("write the output: %w", failed)
	}
	return a.finish(cmd, err)
}
