package main_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite"

	upkeep "github.com/ghosteam/upkeep/cmd/upkeep"
	"github.com/ghosteam/upkeep/configs"
)

// TestMain makes the program a command of the scripts in testdata/script, next
// to two that set the scene for it.
func TestMain(m *testing.M) {
	commands := map[string]func(){
		"upkeep": func() {
			os.Exit(upkeep.Main(os.Args[1:], upkeep.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
		},
		"as-anybody":  func() { os.Exit(asAnybody(os.Args[1:])) },
		"hold-sqlite": func() { os.Exit(holdSQLite(os.Args[1:])) },
	}
	if commands[filepath.Base(os.Args[0])] == nil {
		dontPassOnIgnoredSignals()
		listenNowhere()
	}
	testscript.Main(m, commands)
}

// listenNowhere keeps the services that tests start beside each other from
// wanting the same port; tests about the web server say where it listens.
func listenNowhere() {
	if err := os.Setenv(configs.ListenVariable, "off"); err != nil {
		panic(err)
	}
}

// dontPassOnIgnoredSignals undoes for the children of the tests what a shell
// that runs the tests in the background has done: it has them ignore Ctrl-C,
// which the program would inherit and respect.
func dontPassOnIgnoredSignals() {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGHUP} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// asAnybody runs a command that has to respect the permissions of files, which
// the superuser does not: it gives those two abilities up for good.
func asAnybody(argv []string) int {
	runtime.LockOSThread() // exec keeps what this thread has
	for _, ability := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, ability, 0, 0, 0); err != nil && os.Geteuid() == 0 {
			fmt.Fprintln(os.Stderr, "give an ability up:", err)
			return 99
		}
	}
	path, err := lookPath(argv[0])
	if err == nil {
		err = unix.Exec(path, argv, os.Environ())
	}
	fmt.Fprintln(os.Stderr, err)
	return 99
}

// holdSQLite keeps everybody else from writing to an SQLite file until its
// input ends.
func holdSQLite(argv []string) int {
	if err := hold(argv[0]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	return 0
}

func hold(path string) (err error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=exclusive")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	fmt.Println("held")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return tx.Rollback()
}
