// Command demo fills a folder with a configuration and a ledger that looks as
// if upkeep had run for a while, answers what its checks ask, and serves it
// until it is interrupted: for whoever wants to look at the pages.
//
//	go run ./scripts/dev/demo [-what empty|usual|huge] [-web 127.0.0.1:8620] [-upkeep bin/upkeep] FOLDER
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/scripts/dev/seed"
)

func main() {
	what := flag.String("what", "usual", "empty, usual or huge")
	web := flag.String("web", "{listen: 127.0.0.1:8620}", "the value of `web:` in the configuration")
	binary := flag.String("upkeep", "bin/upkeep", "the binary that serves it; empty to serve nothing")
	runs := flag.Int("runs", 1_000_000, "how many runs huge has")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := demo(*what, *binary, seed.Options{Dir: flag.Arg(0), Web: *web, Now: time.Now(), Runs: *runs}); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func demo(what, binary string, o seed.Options) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	target := httptest.NewServer(http.HandlerFunc(seed.Answer))
	defer target.Close()
	o.Target = target.URL
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return err
	}
	fill := map[string]func(context.Context, seed.Options) error{"empty": seed.Empty, "usual": seed.Usual, "huge": seed.Huge}[what]
	if fill == nil {
		return fmt.Errorf("%q is neither empty, usual nor huge", what)
	}
	began := time.Now()
	if err := fill(ctx, o); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "demo: filled after %s; configuration %s\n", time.Since(began).Round(time.Millisecond), filepath.Join(o.Dir, seed.ConfigName))
	if binary == "" {
		return nil
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), binary, "-c", filepath.Join(o.Dir, seed.ConfigName), "serve")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		<-ctx.Done()
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}()
	return errors.Join(cmd.Wait())
}
