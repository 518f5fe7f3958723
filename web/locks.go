package web

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// registerLocks adds the named locks.
func (s *Server) registerLocks() {
	add(s, operation{
		id: "list-locks", method: http.MethodGet, path: "/locks", tag: "daemon", summary: "List the named locks, who holds them and who waits",
		doc: "Those that are configured, held or waited for, by name. Who waits is listed in the order in which they get the lock.",
	}, s.listLocks)
}

func (s *Server) listLocks(ctx context.Context, _ *struct{}) (*reply[api.Locks], error) {
	locks, err := s.o.Catalog.Locks(ctx)
	if err != nil {
		return nil, err
	}
	out := api.Locks{Locks: make([]api.Lock, len(locks))}
	for i, l := range locks {
		out.Locks[i] = l.Filled()
	}
	return ok(out)
}
