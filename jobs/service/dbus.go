package service

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/ghosteam/upkeep/jobs"
)

// aliveEvery is how often a wait looks whether the bus is still there: a signal
// that is lost with it would be waited for in vain.
const aliveEvery = time.Second

// bus is systemd by D-Bus.
type bus struct {
	conn *systemd.Conn
}

var _ control = (*bus)(nil)

// dial connects to the bus at address, or to that of the system. The
// connection ends with ctx.
func dial(ctx context.Context, address string) (control, error) {
	var conn *systemd.Conn
	var err error
	if address == "" {
		conn, err = systemd.NewWithContext(ctx)
	} else {
		conn, err = systemd.NewConnection(func() (*dbus.Conn, error) { return dialAddress(ctx, address) })
	}
	if err != nil {
		return nil, fmt.Errorf("connect to systemd by D-Bus: %w", err)
	}
	return &bus{conn: conn}, nil
}

func dialAddress(ctx context.Context, address string) (*dbus.Conn, error) {
	conn, err := dbus.Dial(address, dbus.WithContext(ctx))
	if err != nil {
		return nil, err //nolint:wrapcheck // dial says what was being done
	}
	if err = conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err == nil {
		err = conn.Hello()
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// Name implements control.
func (b *bus) Name() string { return "D-Bus" }

// Close implements control.
func (b *bus) Close() { b.conn.Close() }

// explain adds what a person can do, or why ctx has ended.
func explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if e, ok := errors.AsType[dbus.Error](err); ok && deniedBy(e.Name) {
		return jobs.WithHint(err, rights)
	}
	return err
}

// State implements control.
func (b *bus) State(ctx context.Context, unit string) (state, error) {
	p, err := b.conn.GetAllPropertiesContext(ctx, unit)
	if err != nil {
		return state{}, fmt.Errorf("ask systemd about %s: %w", unit, explain(ctx, err))
	}
	s := state{
		ID: text(p, "Id"), Load: text(p, "LoadState"), Active: text(p, "ActiveState"), Sub: text(p, "SubState"), Type: text(p, "Type"),
		Result: text(p, "Result"), Restarts: number(p, "NRestarts"), PID: number(p, "MainPID"), Memory: number(p, "MemoryCurrent"),
	}
	for _, name := range []string{"RequiredBy", "BoundBy", "ConsistsOf"} {
		list, _ := p[name].([]string)
		s.Dependents = append(s.Dependents, list...)
	}
	s.CanReload, _ = p["CanReload"].(bool)
	if id, ok := p["InvocationID"].([]byte); ok {
		s.Invocation = hex.EncodeToString(id)
	}
	return s.sane()
}

func text(p map[string]any, name string) string {
	t, _ := p[name].(string)
	return word(t)
}

func number(p map[string]any, name string) uint64 {
	switch n := p[name].(type) {
	case uint32:
		return uint64(n)
	case uint64:
		if n != math.MaxUint64 { // "not counted"
			return n
		}
	}
	return 0
}

// sane refuses an answer that says nothing.
func (s state) sane() (state, error) {
	if s.ID == "" || s.Load == "" || s.Active == "" {
		return s, errors.New("systemd does not say in which state the unit is")
	}
	return s, nil
}

func (b *bus) start(ctx context.Context, v verb, unit string, ch chan<- string) error {
	// replace: a job for the unit that is queued already gives way (systemctl(1),
	// --job-mode=).
	const mode = "replace"
	do := map[verb]func(context.Context, string, string, chan<- string) (int, error){
		verbRestart: b.conn.RestartUnitContext, verbReload: b.conn.ReloadUnitContext,
		verbStart: b.conn.StartUnitContext, verbStop: b.conn.StopUnitContext,
	}[v]
	if _, err := do(ctx, unit, mode, ch); err != nil {
		return fmt.Errorf("%s %s: %w", v, unit, explain(ctx, err))
	}
	return nil
}

// Do implements control.
func (b *bus) Do(ctx context.Context, v verb, unit string) (string, error) {
	ch := make(chan string, 1)
	if err := b.start(ctx, v, unit, ch); err != nil {
		return "", err
	}
	alive := time.NewTicker(aliveEvery)
	defer alive.Stop()
	for {
		select {
		case result := <-ch:
			return word(result), nil
		case <-alive.C:
			if !b.conn.Connected() {
				return "", fmt.Errorf("%s %s: the connection to systemd was lost before it was done", v, unit)
			}
		case <-ctx.Done():
			return "", fmt.Errorf("%s %s: systemd is still at it: %w", v, unit, context.Cause(ctx))
		}
	}
}

// Post implements control.
func (b *bus) Post(ctx context.Context, v verb, unit string) error { return b.start(ctx, v, unit, nil) }
