package web

import (
	"context"
	"net/http"

	"github.com/ghosteam/upkeep/web/api"
)

// Cluster knows the nodes that belong to the system. Its methods may be called
// from several goroutines.
type Cluster interface {
	// Members returns them, ordered by name.
	Members(ctx context.Context) ([]api.Member, error)
	// Forget takes one that is not there off the list: CodeSkipped while it is
	// there, CodeNotFound when it is on no list.
	Forget(ctx context.Context, name string) error
}

// registerMembers adds the nodes.
func (s *Server) registerMembers() {
	const tag = "daemon"
	add(s, operation{
		id: "list-nodes", method: http.MethodGet, path: "/nodes", tag: tag, summary: "List the nodes",
		doc: "members are the nodes that belong to the system, whether they are there or not; nodes are the processes that execute runs, or did until they died, also those of commands.",
	}, s.listNodes)
	add(s, operation{
		id: "forget-node", touches: []api.Topic{api.TopicDaemon}, method: http.MethodDelete, path: "/nodes/{name}", tag: tag, summary: "Forget a node that is gone for good",
		doc: "Runs for every node are no longer expected of it. One that comes back belongs to the system again. It is refused while the node is there.",
	}, s.forgetNode)
}

func (s *Server) listNodes(ctx context.Context, _ *struct{}) (*reply[api.Nodes], error) {
	nodes, err := s.o.Catalog.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	members, err := s.o.Cluster.Members(ctx)
	if err != nil {
		return nil, err
	}
	out := api.Nodes{Nodes: make([]api.Node, len(nodes)), Members: make([]api.Member, len(members))}
	for i, n := range nodes {
		out.Nodes[i] = n.Filled()
	}
	for i, m := range members {
		out.Members[i] = m.Filled()
	}
	return ok(out)
}

type forgetNode struct {
	Via

	Name string `path:"name" maxLength:"255" doc:"of the node"`
}

func (s *Server) forgetNode(ctx context.Context, in *forgetNode) (*reply[api.Forgotten], error) {
	if err := s.o.Cluster.Forget(ctx, in.Name); err != nil {
		return nil, err
	}
	return ok(api.Forgotten{Name: in.Name})
}
