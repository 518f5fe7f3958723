// Package ledger keeps the truth about runs in a database: one implementation
// of the interfaces in package runner, in plain SQL, for SQLite (the embedded
// default) and PostgreSQL (when several nodes share the work). It knows rows,
// transactions, leases and epochs. It refuses to know what a job does, when a
// slot is due and how a run reaches an executor.
//
// # Fencing
//
// A run that is executed has an owner and an epoch. Claim, Release, Reopen and
// Strand raise the epoch; every other write of the executor happens only while
// the row still carries the owner and the epoch of the writer's claim and the
// state running, which the same transaction checks first and holds until its
// end. A process that was stopped, declared dead and woken again can write
// nothing about its runs. What anybody may ask for, as Cancel does, goes by the
// state of the row alone.
//
// An attempt that said that it may end upkeep itself (runner.Step.Planned) stays
// running when its owner dies or shuts down: the next claim takes it over under
// its own epoch and ends it by what it left.
//
// # Slots
//
// Decide records slots and how far a calendar is decided in one transaction, so
// that no kill and no second node can lose or double one. Whether a run of the
// workflow is open is looked up in the same transaction, which on PostgreSQL
// holds an advisory lock of the workflow meanwhile; so do claims of runs that
// wait for others. Runs stand in the way of runs of the same workflow and host;
// dry runs neither stand in the way nor wait.
//
// # Who is alive
//
// A run under a dead owner may be claimed. On PostgreSQL an instance lives as
// long as its lease, by the clock of the database; Heartbeat renews it. On
// SQLite the process that holds the lock file is the only one that executes:
// when it registers, every other instance is dead by definition. An instance
// that registered on SQLite without that lock lives as long as its process, or
// as its lease when Options.LeaseTTL asks for one.
//
// # Named locks
//
// A lock has as many places as may hold it at once, a row each, so that the
// database itself never lets two have one place. Who cannot have all of its
// locks takes none and stands in line for each. A free place is for those who
// have waited longest; one of them that could not begin anyway, because another
// of its locks is taken, is passed at most a few times. The one in front of all
// lines waits for holders only, so there is always somebody who goes on. Holders
// and waiters whose owner is dead, or whose run went to another epoch, do not
// count.
//
// # Group commit
//
// A commit waits for the disk, as long for one writer as for many, and SQLite
// has one writer at a time. Those who want to write while a transaction is under
// way therefore wait for the next one and share it: each works in the order in
// which they came, sees what those before it wrote, as if it came alone after
// them, and hears how it ended when the common commit is durable. A savepoint
// before each one's work lets one fail without the others. When a failure ends
// the whole transaction, as that of a full disk may, the others have another
// turn; when the commit fails, it fails for all, and none of them was told
// otherwise. The end of a caller's context ends its waiting for a turn, or its
// work between two statements, and nobody else's. Who comes alone has a
// transaction and a commit of its own, at once. PostgreSQL writes the log for
// concurrent commits together by itself and is left to do so.
//
// Connections to SQLite keep the statements that they have prepared.
//
// # Faults
//
// Whatever ends a run asks Options.Alarm within the same transaction and
// records what it says: the state of the run, the incident and the notices owed
// are on record together or not at all. Whoever sends a notice owns it until
// its lease passes or its owner is dead, by the same rules as for runs.
//
// # Texts
//
// What is stored for people (errors, hints, summaries, findings) is made valid
// UTF-8 without NUL, because PostgreSQL refuses anything else, and is cut with
// a visible marker at the limits of text.go. What identifies something (names,
// hosts, parameters, the frozen workflow) is refused instead of changed.
// Values that are not finite numbers are left out, and a finding says so.
//
// # Tables
//
//	specs      the frozen workflow texts, each once, by digest
//	runs       one row per (workflow, slot, host)
//	attempts   one row per (run, job, number)
//	outputs    head and tail of what an attempt wrote, when it wrote anything
//	artifacts  what attempts put into stores
//	locks      places of named locks that running attempts hold
//	lock_waits jobs that wait for named locks
//	nodes      instances that execute runs
//	members    the nodes that belong to the system, whether they are there or not
//	live_outputs  what running attempts have written so far, for other nodes
//	cursors    how far each calendar is decided
//	pauses     workflows whose slots do not run
//	incidents  what is or was wrong; at most one open per fingerprint
//	entries    what happened in the life of an incident, for its time line
//	silences   what nobody is to be told of, until when, and why
//	notices    messages owed to channels, in the order of their turns for each
//	           incident and channel
//	events     what happened to the system
//	remedies   what runs that checks started did about it
//	series     what samples are of; samples are its values, which grow coarse
//	tokens     who may use the API; actions what was asked of it, and by whom
//
// Everything that belongs to a run goes with its row. Instants are microseconds
// since 1970-01-01 UTC.
package ledger
