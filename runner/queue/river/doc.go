// Package river delivers runs to the nodes that share a ledger on PostgreSQL,
// with River (https://riverqueue.com) as the carrier: its tables, its unique
// inserts, its producers woken by LISTEN/NOTIFY.
//
// A River job is only a pointer {run, epoch}, in the River queue of the run's
// target: any node, one node, one label. The ledger stays the truth. A pointer
// is taken out of the table by the statement that fetches it, before anything
// is done about it, so that none can be stuck with a node that died; a pointer
// that is lost with its node is inserted again by the next sweep, and one that
// leads nowhere any more is refused by Claim. For the same reason River's
// retries, timeouts, periodic jobs, rescues, leader and history are not used.
//
// A node fetches only what it has a free slot for, over all its queues
// together, so what waits always waits in the database, where every other node
// can take it.
//
// # Connections
//
// The queue works on the pool of the ledger: at most 8 connections for both. One
// more is River's, on which it listens, and two the ledger's, on which it hears
// the other nodes and renews its lease. So a node takes at most 11 of the server's
// max_connections, and about 10 when nothing happens, for what it asks then goes
// round all of them. LISTEN and the locks of the set-up need a session: a pooler
// in transaction mode must not stand between.
//
// An idle node asks the server about once in three seconds for its queues: a
// ping of the listening connection every 5 seconds, and for each queue one look
// for runs and one for settings a minute. (The heartbeat and the sweeps of the
// program come on top of that.) A delivered run makes every node of its queue
// that has a free slot look for it.
package river
