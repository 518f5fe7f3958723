package pgbackup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/local"
)

// victimVariable tells a process of the test binary that it is to be ended by
// a signal.
const victimVariable = "PGBACKUP_VICTIM"

// What such a process says: that it came to the step at which it is to be
// ended, and that it was asked to end.
const (
	victimStruck = "struck"
	victimHeard  = "asked to end"
)

// victim is a run, as it is told to a process.
type victim struct {
	Dir, URL, Run string
	At            arrow
	Jobs          int
	// Store is a directory, unless Bucket is set.
	Store  string
	Bucket *place
	Signal syscall.Signal
}

func TestMain(m *testing.M) {
	if text := os.Getenv(victimVariable); text != "" {
		var v victim
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			panic(err)
		}
		os.Exit(v.die())
	}
	code := m.Run()
	if dir := built.Load(); dir != nil {
		if err := os.RemoveAll(*dir); err != nil {
			panic(err)
		}
	}
	os.Exit(code)
}

// die runs a backup. At a step of a store in a directory this process sends
// itself the signal; at any other step the test does.
func (v victim) die() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM)
	var ended sync.WaitGroup
	ended.Go(func() {
		if _, ok := <-asked; ok {
			cancel(errors.New("asked to end"))
			fmt.Println(victimHeard)
		}
	})
	strike := func() {
		fmt.Println(victimStruck)
		if err := syscall.Kill(os.Getpid(), v.Signal); err != nil {
			panic(err)
		}
		<-ctx.Done()
	}
	_, err := v.work(ctx, &testing.T{}, os.TempDir(), func(disk *local.Store) object.Store {
		return &stepped{Store: disk, at: v.At, do: strike}
	})
	signal.Stop(asked)
	close(asked)
	ended.Wait()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
