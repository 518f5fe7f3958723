package redisping_test

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/reach"
)

// pausing stands before a server and holds so many PINGs up.
func pausing(t *testing.T, server string, pings int64, pause time.Duration) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var held atomic.Int64
	pass := func(client, to net.Conn) {
		defer func() { _ = to.Close() }()
		buffer := make([]byte, 4096)
		for {
			n, err := client.Read(buffer)
			if bytes.Contains(bytes.ToLower(buffer[:n]), []byte("\r\nping\r\n")) && held.Add(1) <= pings {
				time.Sleep(pause) // its length is what this server is about
			}
			if _, lost := to.Write(buffer[:n]); err != nil || lost != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			go pass(client, to)
			go func() { _, _ = io.Copy(client, to); _ = client.Close() }()
		}
	}()
	return listener.Addr().String()
}

// TestMedian: one pause of the server among three PINGs is no warning, two are.
func TestMedian(t *testing.T) {
	t.Parallel()
	const pause = 3 * time.Second
	for pauses, slow := range map[int64]bool{1: false, 2: true} {
		u := serverURL(t)
		u.Host = pausing(t, u.Host, pauses, pause)
		p := newProber(t, u.String())
		p.options.Latency = reach.Latency{Warn: unit.Duration(pause)}
		r := p.probe()
		if slow {
			wants(t, r, "redisping:latency", jobs.Warning, "limit 3s")
		} else {
			healthy(t, r)
		}
		if took := r.Values["total_seconds"]; took >= pause.Seconds() != slow {
			t.Errorf("with %d pauses a PING takes %v s", pauses, took)
		}
	}
}
