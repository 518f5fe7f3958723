package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// servers are the processes that serve the benchmark, whose processor time is
// part of what a way costs: on a machine with few processors it is what the
// others have to wait for.
type servers struct{ pids []int }

// findServers finds the server of PostgreSQL, whose processes are its children,
// and that of S3.
func findServers(ctx context.Context, address *pgx.ConnConfig) (s servers, err error) {
	conn, err := pgx.ConnectConfig(ctx, address)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	fields, err := processOf(int(conn.PgConn().PID()))
	if err != nil {
		return s, err
	}
	postmaster, err := strconv.Atoi(fields[4-3])
	if err != nil {
		return s, err
	}
	endpoint, err := url.Parse(os.Getenv("UPKEEP_TEST_S3_ENDPOINT"))
	if err != nil {
		return s, err
	}
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return s, err
	}
	s.pids = []int{postmaster}
	for _, path := range all {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(line, []byte("versitygw")) || !bytes.Contains(line, []byte(":"+endpoint.Port()+"\x00")) {
			continue // it may have ended
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			s.pids = append(s.pids, pid)
		}
	}
	if len(s.pids) < 2 {
		return s, fmt.Errorf("no S3 server serves port %s", endpoint.Port())
	}
	return s, nil
}

// used is the processor time of the servers and of their children that ended.
func (s servers) used() (total time.Duration, err error) {
	for _, pid := range s.pids {
		fields, err := processOf(pid)
		if err != nil {
			return 0, err
		}
		for _, at := range []int{14, 15, 16, 17} { // utime stime cutime cstime
			ticks, err := strconv.ParseInt(fields[at-3], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the times of process %d: %w", pid, err)
			}
			total += time.Duration(ticks) * time.Second / ticksPerSecond
		}
	}
	return total, nil
}

// processOf returns the fields of a process from the third on (proc_pid_stat(5)).
func processOf(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])), nil
}
