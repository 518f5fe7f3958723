package pgping_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

func TestPermission(t *testing.T) {
	t.Parallel()
	address := pgtest.URL(t, pgtest.Database(t))
	_, low := pgtest.Role(t, address)
	pgtest.Exec(t, pgtest.Connect(t, address), "DO $$ BEGIN EXECUTE format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', current_database()); END $$")
	r := ping(t, patient(t), low)
	faulty(t, r, "permission", "permission denied for database")
	if strings.Contains(fmt.Sprint(r), pgtest.RolePassword) {
		t.Errorf("the password shows: %+v", r)
	}
}

// TestRefusals: what a server says at the door while it starts or stops, said by
// a listener of ours, because no real one can be held in these states.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for code, kind := range map[string]string{"57P03": "starting", "57P01": "stopping", "XX000": "server", "28000": "auth"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					c, err := listener.Accept()
					if err != nil {
						return
					}
					b := pgproto3.NewBackend(c, c)
					if _, err := b.ReceiveStartupMessage(); err == nil {
						b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "not now"})
						_ = b.Flush() // the probe may have gone
					}
					_ = c.Close()
				}
			}()
			t.Cleanup(func() { _ = listener.Close(); <-done })
			r := ping(t, patient(t), "postgres://u:p@"+listener.Addr().String()+"/d?sslmode=disable")
			faulty(t, r, kind, "not now")
			if r.Outputs["error_code"] != code {
				t.Errorf("outputs %v", r.Outputs)
			}
		})
	}
}
